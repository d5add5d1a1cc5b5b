"""Kubeconfig files: kubectl's rules for reading, our care in writing."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from vmpod.base.errors import Problem
from vmpod.client import kubeconfig


def _config(name: str, server: str = "https://127.0.0.1:6443") -> dict[str, Any]:
    return kubeconfig.document(server, b"CA", b"CERT", b"KEY", name=name)


def test_written_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "home" / "kubeconfig"
    kubeconfig.write(path, _config("vmpod"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert kubeconfig.load(path) == kubeconfig.Context(
        "vmpod", "https://127.0.0.1:6443", ca=b"CA", certificate=b"CERT", key=b"KEY"
    )
    assert yaml.safe_load(path.read_text()) == json.loads(path.read_text()), "kubectl reads it as YAML"
    assert yaml.safe_load(kubeconfig.render(_config("vmpod"))) == _config("vmpod")


def test_files_are_read_relative_to_theirs(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"CA")
    (tmp_path / "token").write_text("secret\n")
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "mine"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://k/", "certificate-authority": "ca.pem",
                                               "tls-server-name": "inside"}}],
        "users": [{"name": "u", "user": {"tokenFile": "token"}}],
    }  # fmt: skip
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    assert kubeconfig.load(path) == kubeconfig.Context(
        "c", "https://k", "mine", ca=b"CA", token="secret", server_name="inside"
    )


def test_of_several_files_the_first_wins(tmp_path: Path) -> None:
    one, other = tmp_path / "1", tmp_path / "2"
    kubeconfig.write(one, _config("both", "https://first") | {"current-context": ""})
    kubeconfig.write(other, _config("both", "https://second"))
    kubeconfig.merge_into(other, _config("extra", "https://third"), make_current=False)
    env = {"KUBECONFIG": f"{tmp_path / 'missing'}:{one}:{other}"}
    assert kubeconfig.load(env=env).server == "https://first"
    assert kubeconfig.load(context="extra", env=env).server == "https://third"
    assert kubeconfig.files({"HOME": str(tmp_path)}) == []
    assert kubeconfig.default_file({"HOME": "/h"}) == Path("/h/.kube/config")


def test_merging_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("# mine\n" + yaml.safe_dump(_config("work") | {"extensions": [1]}))
    path.chmod(0o644)
    kubeconfig.merge_into(path, _config("vmpod", "https://old"))
    kubeconfig.merge_into(path, _config("vmpod", "https://new"))
    config = yaml.safe_load(path.read_text())
    assert [item["name"] for item in config["contexts"]] == ["work", "vmpod"]
    assert config["current-context"] == "vmpod" and config["extensions"] == [1]
    assert kubeconfig.load(path).server == "https://new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_merging_through_a_link_changes_its_target(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text(yaml.safe_dump(_config("work")))
    link.symlink_to(target)
    kubeconfig.merge_into(link, _config("vmpod"))
    assert link.is_symlink() and kubeconfig.load(target).name == "vmpod"


def test_merging_leaves_relative_file_names_alone(tmp_path: Path) -> None:
    path = tmp_path / "config"
    config = _config("work")
    config["clusters"][0]["cluster"] = {"server": "https://k", "certificate-authority": "ca.pem"}
    path.write_text(yaml.safe_dump(config))
    kubeconfig.merge_into(path, _config("vmpod"))
    assert yaml.safe_load(path.read_text())["clusters"][0] == config["clusters"][0]


def test_removing_takes_only_what_no_other_uses(tmp_path: Path) -> None:
    path = tmp_path / "config"
    config = _config("vmpod")
    config["contexts"].append({"name": "second", "context": {"cluster": "vmpod", "user": "else"}})
    config["users"].append({"name": "else", "user": {}})
    path.write_text(yaml.safe_dump(config))
    assert kubeconfig.remove_from(path, "vmpod")
    left = yaml.safe_load(path.read_text())
    assert [item["name"] for kind in ("contexts", "clusters", "users") for item in left[kind]] == [
        "second", "vmpod", "else",
    ]  # fmt: skip
    assert left["current-context"] == ""
    assert not kubeconfig.remove_from(path, "vmpod")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [1", "while parsing a flow sequence"),
        ("{", "Expecting property name"),
        ("- 1", "it is not a mapping"),
        ("current-context: ''", "no current context is set"),
        ("current-context: x", "it has none of that name"),
    ],
)
def test_bad_files_are_told_apart(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(Problem, match=why):
        kubeconfig.load(path)


def test_a_missing_file_and_a_login_program_are_problems(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="No such file"):
        kubeconfig.load(tmp_path / "none")
    config = _config("aks")
    config["users"][0]["user"] = {"exec": {"command": "kubelogin"}}
    kubeconfig.write(tmp_path / "config", config)
    with pytest.raises(Problem, match="logs in by another program"):
        kubeconfig.load(tmp_path / "config")


def test_data_is_base64() -> None:
    user = _config("x")["users"][0]["user"]
    assert base64.b64decode(user["client-key-data"]) == b"KEY"
