"""DNS messages against dnspython, and against garbage."""

from __future__ import annotations

import contextlib

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.drivers.net import dnswire
from vmpod.drivers.net.dnswire import Answer, Malformed, Query

LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20)
NAME = st.lists(LABEL, min_size=1, max_size=6).map(".".join)


def asked(name: str, kind: str = "A", edns: bool | int = False) -> Query:
    return Query(dns.message.make_query(name, kind, use_edns=0 if edns else False, payload=int(edns)).to_wire())


@given(NAME, st.sampled_from(["A", "AAAA", "SRV", "PTR"]), st.sampled_from([0, 1232, 4096]))
def test_a_query_is_read_as_dnspython_wrote_it(name: str, kind: str, size: int) -> None:
    query = asked(name.upper(), kind, size)
    assert query.name == name and query.qtype == dns.rdatatype.from_text(kind)
    assert (query.edns, query.room) == (bool(size), size or 512)


@given(NAME)
def test_names_survive_a_round_trip(name: str) -> None:
    wire = dnswire.write_name(name)
    assert dnswire.read_name(wire, 0) == (name, len(wire))


def test_every_record_type_is_read_back_by_dnspython() -> None:
    query = asked("Web.Shop.svc.cluster.local", "ANY", 1232)
    name = query.name
    message = dns.message.from_wire(dnswire.reply(
        query, dnswire.NOERROR,
        [dnswire.address(name, "10.1.2.3", 5), dnswire.alias(name, "x.example", 6),
         dnswire.service(name, 80, "a.b", 7), dnswire.pointer(name, "p.q", 8)],
        [dnswire.authority("cluster.local", 5)], [dnswire.address("a.b", "10.9.9.9", 5)], authoritative=True,
    ))  # fmt: skip
    texts = [row.to_text().replace("Web.S", "web.s") for row in (*message.answer, *message.authority, *message.additional)]
    assert texts == [
        "web.shop.svc.cluster.local. 5 IN A 10.1.2.3", "web.shop.svc.cluster.local. 6 IN CNAME x.example.",
        "web.shop.svc.cluster.local. 7 IN SRV 0 100 80 a.b.", "web.shop.svc.cluster.local. 8 IN PTR p.q.",
        "cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5",
        "a.b. 5 IN A 10.9.9.9",
    ]  # fmt: skip
    assert message.flags & dns.flags.AA and message.flags & dns.flags.RA and message.edns == 0
    assert message.question[0].name.to_text() == "Web.Shop.svc.cluster.local.", "the case of the question is kept"


def test_what_does_not_fit_is_cut_and_says_so() -> None:
    rows = [dnswire.address("many.example", f"10.0.{i // 250}.{i % 250}", 5) for i in range(100)]
    small, large = asked("many.example"), asked("many.example", edns=4096)
    cut = dns.message.from_wire(dnswire.reply(small, 0, rows))
    assert cut.flags & dns.flags.TC and not cut.answer
    assert len(dns.message.from_wire(dnswire.reply(large, 0, rows)).answer[0]) == 100
    assert len(dns.message.from_wire(dnswire.reply(small, 0, rows, room=65535)).answer[0]) == 100


def test_an_upstream_answer_is_read_with_its_compressed_names() -> None:
    request = dns.message.make_query("www.example.com", "A")
    response = dns.message.make_response(request)
    response.answer = [
        dns.rrset.from_text("www.example.com.", 60, "IN", "CNAME", "web.example.com."),
        dns.rrset.from_text("web.example.com.", 30, "IN", "A", "192.0.2.7", "192.0.2.8"),
    ]
    response.authority = [dns.rrset.from_text("example.com.", 9, "IN", "SOA", "ns.example.com. me.example.com. 1 2 3 4 5")]
    response.additional = [dns.rrset.from_text("example.com.", 9, "IN", "MX", "10 mx.example.com.")]
    answer = Answer(response.to_wire())
    again = dns.message.from_wire(dnswire.reply(
        Query(request.to_wire()), answer.rcode, answer.answers, answer.authorities, answer.extras
    ))  # fmt: skip
    assert [sorted(r.to_text().splitlines()) for r in again.answer] == [
        sorted(r.to_text().splitlines()) for r in response.answer
    ]
    assert again.authority == response.authority and again.additional == response.additional


@given(st.binary(max_size=80))
def test_garbage_is_malformed_and_nothing_worse(data: bytes) -> None:
    for read in (Query, Answer):
        with contextlib.suppress(Malformed):
            read(data)


@given(st.data())
def test_damaged_answers_are_malformed_and_nothing_worse(data: st.DataObject) -> None:
    response = dns.message.make_response(dns.message.make_query("www.example.com", "A"))
    response.answer = [dns.rrset.from_text("www.example.com.", 60, "IN", "CNAME", "web.example.com.")]
    wire = bytearray(response.to_wire())
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Malformed):
        Answer(bytes(wire[: data.draw(st.integers(0, len(wire)))]))


def test_a_name_that_points_at_itself_ends() -> None:
    with pytest.raises(Malformed):
        dnswire.read_name(b"\xc0\x00", 0)
    with pytest.raises(Malformed):
        dnswire.write_name("a..b")
    with pytest.raises(Malformed):
        dnswire.write_name("a" * 64)
