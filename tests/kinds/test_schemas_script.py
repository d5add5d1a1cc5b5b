"""scripts/schemas: what it refuses, and that it does the same thing each time."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "schemas"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("scripts_schemas", str(SCRIPT))
    spec = importlib.util.spec_from_loader("scripts_schemas", loader)
    assert spec is not None
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "scripts_schemas", module)
    loader.exec_module(module)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "PRODUCTS", tmp_path / "products")
    return module


def test_a_changed_package_is_refused(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def bring(package: object, folder: Path) -> None:
        (folder / script.CORE.file).write_bytes(b"something else")

    monkeypatch.setattr(script, "download", bring)
    assert script.main([]) == 1
    told = capsys.readouterr().err
    assert "kubernetes-validate 1.37.0 is not what was pinned" in told
    assert script.CORE.sha256 in told
    assert not script.PRODUCTS.exists()
    assert not (script.cache() / script.CORE.file).exists()


def test_what_pip_refuses_is_told(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended:
        returncode = 1
        stdout = ""
        stderr = f"ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n   Got    {'0' * 64}\n"

    monkeypatch.setattr(script.subprocess, "run", lambda *argv, **options: Ended)
    with pytest.raises(script.Failure, match="0" * 64):
        script.fetch(script.WRAPPER)


def test_packing_is_deterministic(script: ModuleType) -> None:
    one = script.packed({"b": {"x": 1, "a": 2}, "a": {}})
    assert one == script.packed({"a": {}, "b": {"a": 2, "x": 1}})


def test_core_schemas_become_openapi(script: ModuleType) -> None:
    found = script.core_schema({
        "type": ["object", "null"],
        "properties": {
            "apiVersion": {"type": ["string", "null"], "enum": ["v1"]},
            "spec": {"$ref": "#/$defs/io.Spec", "description": "text"}, "plain": {"$ref": "#/$defs/io.Plain"},
            "$ref": {"type": "string"},
        },
    })
    assert found == {"type": "object", "properties": {
        "apiVersion": {"type": "string"}, "$ref": {"type": "string"}, "plain": {"$ref": "#/components/schemas/io.Plain"},
        "spec": {"allOf": [{"$ref": "#/components/schemas/io.Spec"}], "description": "text"},
    }}
    assert list(script.refs(found)) == ["io.Spec", "io.Plain"]
