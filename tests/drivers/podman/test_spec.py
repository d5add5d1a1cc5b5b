from __future__ import annotations

import signal

import pytest

from vmpod.drivers.podman.spec import ContainerSpec, Limits, Mount, body, hard_limit, signal_number


def test_a_full_specification_in_libpods_words() -> None:
    said = body(
        ContainerSpec(
            name="n", image="i", entrypoint=("/a",), command=("b",), env={"K": "v"}, labels={"l": "1"}, workdir="/w",
            hostname="h", user="107:107", groups=("5",), netns="/run/netns/x",
            mounts=(Mount("/s", "/t", read_only=True), Mount("", "/tmp", kind="tmpfs", options=("size=1m",))),
            cap_drop=("ALL",), no_new_privileges=True, read_only=True, limits=Limits(1 << 20, 1500, 512, 9),
            stop_signal="SIGINT", sysctls={"net.x": "1"}, unconfined=True, oom_score_adj=5,
        ),
        runtime="runc",
    )
    assert said["netns"] == {"nsmode": "path", "value": "/run/netns/x"}
    assert said["mounts"] == [
        {"type": "bind", "source": "/s", "destination": "/t", "options": ["rbind", "ro", "rprivate"]},
        {"type": "tmpfs", "source": "tmpfs", "destination": "/tmp", "options": ["size=1m"]},
    ]
    assert said["resource_limits"] == {
        "memory": {"limit": 1 << 20}, "cpu": {"period": 100_000, "quota": 150_000, "shares": 512}, "pids": {"limit": 9},
    }
    assert said["stop_signal"] == 2 and said["oci_runtime"] == "runc" and said["seccomp_profile_path"] == "unconfined"
    assert said["httpproxy"] is False and said["healthconfig"] == {"Test": ["NONE"]} and said["systemd"] == "false"
    assert (said["entrypoint"], said["command"], said["user"], said["oom_score_adj"]) == (["/a"], ["b"], "107:107", 5)


@pytest.mark.parametrize(("netns", "said"), [("", {"nsmode": "none"}), ("host", {"nsmode": "host"})])
def test_other_namespaces(netns: str, said: dict[str, str]) -> None:
    assert body(ContainerSpec(name="n", rootfs="/r", netns=netns))["netns"] == said


def test_a_tree_is_used_below_an_overlay() -> None:
    said = body(ContainerSpec(name="n", rootfs="/r"))
    assert said["rootfs"] == "/r" and said["rootfs_overlay"] is True and "image" not in said


def test_limits_never_exceed_what_this_process_may_have() -> None:
    said = {row["type"]: row for row in body(ContainerSpec(name="n", ulimits={"nofile": (1 << 60, 1 << 60)}))["r_limits"]}
    assert said["nofile"]["hard"] == hard_limit("nofile")[1] and said["nproc"]["hard"] == hard_limit("nproc")[1]


@pytest.mark.parametrize(("text", "number"), [("15", 15), ("SIGTERM", 15), ("kill", 9), ("SIGRTMIN+3", int(signal.SIGRTMIN) + 3)])
def test_signals(text: str, number: int) -> None:
    assert signal_number(text) == number


def test_no_such_signal() -> None:
    with pytest.raises(ValueError, match="no signal is named"):
        signal_number("SIGNOPE")
