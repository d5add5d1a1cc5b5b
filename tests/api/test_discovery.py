"""What the server says it serves."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import orjson

from vmpod.api import routes
from vmpod.kinds import KINDS

if TYPE_CHECKING:
    from tests.api.conftest import Caller

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList,application/json"


async def test_every_kind_is_told_in_both_forms(call: Caller) -> None:
    told = set()
    for path in ("/api", "/apis"):
        found = await call("GET", path, headers={"accept": AGGREGATED.format("v2")})
        assert found["apiVersion"] == "apidiscovery.k8s.io/v2"
        for group in found["items"]:
            for version in group["versions"]:
                told |= {(group["metadata"].get("name", ""), version["version"], one["resource"]) for one in version["resources"]}
    kinds = {(kind.group, version, kind.plural) for kind in KINDS for version in kind.versions}
    assert told == kinds | {("upload.cdi.kubevirt.io", "v1beta1", "uploadtokenrequests")}
    for group, version, plural in told:
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        assert plural in [one["name"] for one in (await call("GET", root))["resources"]]


async def test_what_discovery_names_is_routed(call: Caller) -> None:
    methods = {"get": "GET", "create": "POST", "update": "PUT", "patch": "PATCH"}
    for kind in KINDS:
        root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        for entry in (await call("GET", root))["resources"]:
            if "/" in entry["name"] and entry["name"].partition("/")[0] == kind.plural:
                path = kind.path("default", "x", entry["name"].partition("/")[2])
                served = [method for method in methods.values() if _is_routed(call, method, path)]
                assert served, entry


def _is_routed(call: Caller, method: str, path: str) -> bool:
    from vmpod.client.inprocess import Request
    from vmpod.model.status import ApiError

    try:
        routes.route(Request(method, path), call.api.backend)
    except ApiError as error:
        assert error.code == 405, (method, path)
        return False
    return True


async def test_forms_and_caching(call: Caller) -> None:
    beta = await call.send("GET", "/apis", headers={"accept": AGGREGATED.format("v2beta1")})
    assert orjson.loads(beta.body)["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    again = {"accept": AGGREGATED.format("v2beta1"), "if-none-match": beta.headers["etag"]}
    assert (await call.send("GET", "/apis", headers=again)).status == 304
    assert (await call("GET", "/apis"))["kind"] == "APIGroupList"
    assert (await call("GET", "/api"))["versions"] == ["v1"]
    assert (await call("GET", "/apis/apps"))["preferredVersion"]["version"] == "v1"
    for path in ("/apis/nope", "/apis/apps/v9", "/api/v2", "/openapi/v3/api/v2"):
        await call("GET", path, code=404)
    assert "/apis/apps/v1" in (await call("GET", "/"))["paths"]
    assert (await call("GET", "/version"))["minor"] == "35"
    await call("POST", "/version", code=405)


async def test_openapi_documents(call: Caller) -> None:
    index = await call("GET", "/openapi/v3")
    url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
    path, _, query = url.partition("?hash=")
    answer = await call.send("GET", path, headers={"accept-encoding": "gzip"}, hash=query)
    document = orjson.loads(gzip.decompress(answer.body))
    assert document["openapi"].startswith("3") and "immutable" in answer.headers["cache-control"]
    assert "io.k8s.api.apps.v1.Deployment" in document["components"]["schemas"]
    assert orjson.loads((await call.send("GET", path)).body) == document
    assert (await call.send("GET", path, headers={"if-none-match": answer.headers["etag"]})).status == 304


async def test_kubectl_names_a_kind_that_is_not_served(call: Caller) -> None:
    """It asks for the definitions of others, then for the older schemas, before it says so."""
    assert (await call("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"))["items"] == []
    assert (await call("GET", "/openapi/v2"))["definitions"] == {}
    accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    answer = await call.send("GET", "/openapi/v2", headers={"accept": accept})
    assert (answer.headers["content-type"], answer.body) == (accept.replace("@", "."), b"\x0a\x032.0")
