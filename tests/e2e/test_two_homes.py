"""Several homes run side by side on one machine and know nothing of each other."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network

import pytest

from vmpod.base.paths import Paths

from ..conftest import Kubectl
from ..sweep import settled
from .conftest import product
from .product import SHOP, Product, ask, order, state

pytestmark = [pytest.mark.host, pytest.mark.timeout(600)]


def blocks(one: Product) -> dict[str, str]:
    found: dict[str, str] = json.loads((Paths(one.home).network / "config.json").read_text())
    return found


def test_the_shop_in_two_homes_at_once(host: None, kubectl: Kubectl) -> None:
    with product(kubectl) as first, product(kubectl) as second:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda one: one.vmpod("up", str(SHOP)), (first, second)))
        left, right = blocks(first), blocks(second)
        assert not ip_network(left["block"]).overlaps(ip_network(right["block"]))
        assert left["bridge"] != right["bridge"] and left["dns_address"] != right["dns_address"]
        assert order(first.shop(), "teapot", 1)["cents"] == 2450
        assert state(second.shop())["orders"] == []
        assert order(second.shop(), "cup", 1)["id"] == 1
        shop = second.shop()
        first.vmpod("engine", "stop", "--purge")
        assert not settled(first.home)
        assert ask(shop)[0] == 200
        assert [made["item"] for made in state(shop)["orders"]] == ["cup"]
