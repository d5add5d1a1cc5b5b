"""Keys and passwords for guests: what the objects say, and how an agent is told."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.model.meta import Object
from vmpod.node.machine_credentials import OFFLINE, Keeper
from vmpod.node.translate.credentials import Credentials, credentials, secrets_of


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def entry(kind: str, secret: str, **agent: Any) -> Object:
    return {kind: {"source": {"secret": {"secretName": secret}}, "propagationMethod": {"qemuGuestAgent": agent}}}


def vmi(*entries: Object) -> Object:
    return {"metadata": {"namespace": "default", "name": "a"}, "spec": {"accessCredentials": list(entries)}}


SECRETS: dict[str, Object] = {
    "one": {"data": {"b": coded("ssh-rsa B b\n"), "a": coded("# mine\nssh-rsa A a\n\n")}},
    "two": {"data": {"k": coded("ssh-rsa A a")}, "stringData": {"l": "ssh-rsa C c"}},
    "words": {"data": {"tim": coded(" secret\n"), "tom": coded("")}},
}


def test_what_the_secrets_say() -> None:
    seed = {"sshPublicKey": {"source": {"secret": {"secretName": "seed"}}, "propagationMethod": {"noCloud": {}}}}
    machine = vmi(entry("sshPublicKey", "one", users=["tim", "tom"]), entry("sshPublicKey", "two", users=["tom"]),
                  entry("userPassword", "words"), seed)  # fmt: skip
    assert secrets_of(machine) == ("one", "two", "words")
    found = credentials(machine, SECRETS.get)
    assert found.keys == {"tim": ("ssh-rsa A a", "ssh-rsa B b"), "tom": ("ssh-rsa A a", "ssh-rsa B b", "ssh-rsa C c")}
    assert found.passwords == {"tim": "secret"} and not found.missing
    assert credentials(vmi(entry("userPassword", "no")), SECRETS.get) == Credentials(missing="Secret default/no not found")
    assert secrets_of(vmi(seed)) == () and secrets_of({}) == ()


class Guest:
    """An agent with a small system behind it."""

    def __init__(self, *commands: str) -> None:
        self.commands = commands
        self.files: dict[str, str] = {}
        self.ran: list[str] = []
        self.passwords: dict[str, str] = {}
        self.given: list[tuple[str, list[str], bool]] = []
        self.open: list[tuple[str, str]] = []

    async def __call__(self, command: str, timeout_s: float = 5.0, **given: Any) -> Any:
        match command:
            case "guest-info":
                return {"supported_commands": [{"name": one, "enabled": True} for one in self.commands]}
            case "guest-ssh-add-authorized-keys":
                self.given.append((given["username"], given["keys"], given["reset"]))
            case "guest-set-user-password":
                if given["username"] != "tim":
                    raise Problem(command, "child process has failed to set user password", reason="Refused")
                self.passwords[given["username"]] = base64.b64decode(given["password"]).decode()
            case "guest-file-open":
                if given["mode"] == "r" and given["path"] not in self.files:
                    raise Problem(command, "failed to open file: No such file or directory", reason="Refused")
                self.open.append((given["path"], given["mode"]))
                return len(self.open)
            case "guest-file-read":
                return {"count": 1, "buf-b64": coded(self.files[self.open[-1][0]]), "eof": True}
            case "guest-file-write":
                self.files[self.open[-1][0]] = base64.b64decode(given["buf_b64"]).decode()
            case "guest-file-close":
                assert given["handle"] == len(self.open)
            case "guest-exec":
                self.ran.append(" ".join((given["path"], *given["arg"])))
                return {"pid": 7}
            case "guest-exec-status":
                found = self.ran[-1] == "getent passwd tim"
                fails = self.ran[-1].startswith("getent") and not found
                return {"exited": True, "exitcode": 2 if fails else 0,
                        **({"out-data": coded("tim:x:1000:100:Tim:/home/tim:/bin/sh\n")} if found else {})}
            case _:
                raise AssertionError(command)
        return {}


async def told(guest: Guest, wanted: Credentials, *, has_agent: bool = True) -> str:
    """What is said after the first attempt."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(Keeper(guest, lambda: wanted, heard.put_nowait).follow(lambda: has_agent))
    try:
        return await asyncio.wait_for(heard.get(), 60)
    finally:
        task.cancel()


async def test_an_agent_with_the_command_is_given_all_keys_at_once() -> None:
    guest = Guest("guest-ssh-add-authorized-keys")
    assert await told(guest, Credentials({"tim": ("A", "B")}, {"tim": "secret"})) == ""
    assert guest.given == [("tim", ["A", "B"], True)] and guest.passwords == {"tim": "secret"} and not guest.files


async def test_without_the_command_the_file_is_written_as_its_users() -> None:
    guest, wanted = Guest("guest-exec"), Credentials({"tim": ("A", "B")})
    assert await told(guest, wanted) == ""
    assert guest.files == {"/home/tim/.ssh/authorized_keys": "A\nB\n"}
    assert guest.ran == ["getent passwd tim", "mkdir -p /home/tim/.ssh", "chown 1000:100 /home/tim/.ssh",
                         "chmod 700 /home/tim/.ssh", "chown 1000:100 /home/tim/.ssh/authorized_keys",
                         "chmod 600 /home/tim/.ssh/authorized_keys"]  # fmt: skip
    guest.ran.clear()
    assert await told(guest, wanted) == "" and guest.ran == ["getent passwd tim"], "what is right is left alone"


@pytest.mark.parametrize(
    ("wanted", "has_agent", "why"),
    [
        (Credentials({"tim": ("A",)}), False, OFFLINE),
        (Credentials(missing="Secret default/x not found"), True, "Secret default/x not found"),
        (Credentials({"nobody": ("A",)}), True,
         "Error encountered writing ssh pub key access credentials for user [nobody]: getent exited with 2"),
        (Credentials({}, {"tom": "x", "tim": "y"}), True,
         "Error encountered setting password for user [tom]: child process has failed to set user password"),
    ],
)  # fmt: skip
async def test_what_keeps_them_out_is_told(wanted: Credentials, has_agent: bool, why: str) -> None:
    guest = Guest("guest-exec")
    assert await told(guest, wanted, has_agent=has_agent) == why
    assert guest.passwords == ({"tim": "y"} if "tim" in wanted.passwords else {}), "the others are still set"


async def test_a_change_is_brought_in_at_once() -> None:
    guest, wanted = Guest(), [Credentials({}, {"tim": "old"})]
    heard: asyncio.Queue[str] = asyncio.Queue()
    keeper = Keeper(guest, lambda: wanted[0] if wanted else None, heard.put_nowait)
    task = asyncio.create_task(keeper.follow(lambda: True))
    assert await asyncio.wait_for(heard.get(), 60) == "" and guest.passwords == {"tim": "old"}
    wanted[0] = Credentials({}, {"tim": "new"})
    keeper.look()
    assert await asyncio.wait_for(heard.get(), 60) == "" and guest.passwords == {"tim": "new"}
    wanted.clear()
    keeper.look()
    await asyncio.wait_for(task, 60)
