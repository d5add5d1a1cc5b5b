"""Kubeconfigs under another name."""

from __future__ import annotations

from vmpod.cli.kubeconfig_ import renamed
from vmpod.client import kubeconfig


def test_all_of_it_takes_the_name() -> None:
    config = renamed(kubeconfig.document("https://127.0.0.1:1", b"ca", b"cert", b"key"), "laptop")
    assert config["current-context"] == "laptop"
    assert [config[kind][0]["name"] for kind in ("clusters", "users", "contexts")] == ["laptop"] * 3
    assert config["contexts"][0]["context"] == {"cluster": "laptop", "user": "laptop"}
