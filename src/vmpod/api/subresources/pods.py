"""Pods: binding, log, exec, attach, portforward."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import orjson
from multidict import MultiMapping

from vmpod.api import body, sockets
from vmpod.api.call import Call
from vmpod.api.portforward import PROTOCOL, Forwarder
from vmpod.api.representation import body_response
from vmpod.api.sockets import Tunnel
from vmpod.api.streams import STDOUT, Duplex, StreamRef
from vmpod.api.verbs.update import prepare_as_is, rewrite
from vmpod.base import clock
from vmpod.client.inprocess import Response
from vmpod.model import conditions, meta, status
from vmpod.model.meta import Object

_DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
_CONTAINER_LISTS: Final = ("containers", "initContainers", "ephemeralContainers")


async def bind(call: Call) -> Response:
    """POST …/binding: put the pod on a node, once."""
    node = meta.get(body.read_object(call), "target", "name", default="")
    if not node:
        raise status.invalid("Binding", call.name, [status.required("target.name")])

    def bound(pod: Object) -> Object:
        held = meta.get(pod, "spec", "nodeName")
        if held:
            why = f"pod {call.name} is already assigned to node {status.quote(held)}"
            raise status.conflict("pods/binding", call.name, why)
        if meta.is_deleting(pod):
            why = f"pod {call.name} is being deleted, cannot be assigned to a host"
            raise status.conflict("pods/binding", call.name, why)
        return _with_node(call, pod, node)

    await rewrite(call, bound, prepare_as_is)
    return body_response(call, status.success(), 201)


def _with_node(call: Call, pod: Object, node: str) -> Object:
    pod["spec"]["nodeName"] = node
    held = pod.setdefault("status", {}).get("conditions") or []
    pod["status"]["conditions"] = conditions.set_condition(
        held, "PodScheduled", "True", "", "", call.backend.now()
    )
    return pod


async def log(call: Call) -> Response:
    """GET …/log: plain text, without end under `follow`."""
    pod = orjson.loads(call.current().value)
    params = _log_params(call) | {"container": container_of(call, pod)}
    _check_assigned(call, pod)
    duplex = await call.backend.streams.open(_ref(call), "log", params)
    return Response(200, {"content-type": "text/plain"}, stream=_text(duplex))


def _log_params(call: Call) -> dict[str, Any]:
    params: dict[str, Any] = {name: call.flag(name) for name in ("follow", "previous", "timestamps")}
    for name in ("tailLines", "sinceSeconds", "limitBytes"):
        params[name] = _number(call, name)
    params["sinceTime"] = call.query("sinceTime") or None
    _check_log_params(params)
    return params


def _number(call: Call, name: str) -> int | None:
    text = call.query(name)
    if text and not text.lstrip("-").isdecimal():
        raise status.bad_request(f"strconv.ParseInt: parsing {status.quote(text)}: invalid syntax")
    return int(text) if text else None


def _check_log_params(params: Mapping[str, Any]) -> None:
    faults = []
    for name, least in (("tailLines", 0), ("sinceSeconds", 1), ("limitBytes", 1)):
        if params[name] is not None and params[name] < least:
            why = f"must be greater than {'or equal to ' if least == 0 else ''}0"
            faults.append(status.wrong(name, params[name], why))
    if params["sinceSeconds"] is not None and params["sinceTime"]:
        faults.append(status.refused("sinceSeconds", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if params["sinceTime"] and not _is_time(params["sinceTime"]):
        faults.append(status.wrong("sinceTime", params["sinceTime"], "must be a time as in RFC 3339"))
    if faults:
        raise status.invalid("PodLogOptions", "", faults)


def _is_time(text: str) -> bool:
    try:
        clock.parse(text)
    except ValueError:
        return False
    return True


async def _text(duplex: Duplex) -> AsyncIterator[bytes]:
    try:
        while (found := await duplex.receive()) is not None:
            if found[0] == STDOUT and found[1]:
                yield found[1]
    finally:
        await duplex.close()


async def execute(call: Call) -> Tunnel:
    """GET …/exec as WebSocket."""
    params = _terminal_params(call)
    params["command"] = values(call.request.query, "command")
    if not params["command"]:
        fault = status.required("command")
        raise status.invalid("PodExecOptions", "", [fault])
    return await _channels(call, "exec", params)


async def attach(call: Call) -> Tunnel:
    """GET …/attach as WebSocket."""
    return await _channels(call, "attach", _terminal_params(call))


def _terminal_params(call: Call) -> dict[str, Any]:
    params: dict[str, Any] = {name: call.flag(name) for name in ("stdin", "stdout", "stderr", "tty")}
    if not any(params[name] for name in ("stdin", "stdout", "stderr")):
        raise status.bad_request("you must specify at least 1 of stdin, stdout, stderr")
    if params["tty"]:
        params["stderr"] = False  # a terminal has one output
    return params


async def _channels(call: Call, verb: str, params: dict[str, Any]) -> Tunnel:
    pod = orjson.loads(call.current().value)
    params["container"] = container_of(call, pod)
    _check_assigned(call, pod)
    if not sockets.is_websocket(call):  # a client falls back to SPDY when refused: it shall hear the true reason then
        await call.backend.streams.ask(_ref(call), "check", {"verb": verb, **params})
    protocol = sockets.choose_protocol(call, sockets.CHANNELS)
    return sockets.channels(await call.backend.streams.open(_ref(call), verb, params), protocol)


async def portforward(call: Call) -> Tunnel:
    """GET …/portforward as WebSocket that carries SPDY."""
    pod = orjson.loads(call.current().value)
    _check_assigned(call, pod)
    protocol = sockets.choose_protocol(call, (PROTOCOL,))
    ref = _ref(call)

    async def open_port(port: int) -> Duplex:
        return await call.backend.streams.open(ref, "portforward", {"port": port})

    async def run(socket: sockets.Socket) -> None:
        await Forwarder(socket, open_port).run()
        await socket.close()

    return Tunnel(protocol, run, _nothing)


async def _nothing() -> None:
    return None


def _ref(call: Call) -> StreamRef:
    return StreamRef("pods", call.namespace, call.name)


def _check_assigned(call: Call, pod: Object) -> None:
    if not meta.get(pod, "spec", "nodeName"):
        raise status.bad_request(f"pod {call.name} does not have a host assigned")


def container_of(call: Call, pod: Object) -> str:
    """The container that is meant. Raises ApiError 400 when it does not exist or several could be meant."""
    named = [one["name"] for key in _CONTAINER_LISTS for one in meta.get(pod, "spec", key, default=[])]
    wanted = call.query("container")
    if wanted and wanted not in named:
        raise status.bad_request(f"container {wanted} is not valid for pod {call.name}")
    if wanted:
        return wanted
    default = meta.annotations(pod).get(_DEFAULT_CONTAINER, "")
    if default in named:
        return default
    main = [one["name"] for one in meta.get(pod, "spec", "containers", default=[])]
    if len(main) == 1:
        return str(main[0])
    raise status.bad_request(
        f"a container name must be specified for pod {call.name}, choose one of: [{' '.join(main)}]"
    )


def values(query: Mapping[str, str], name: str) -> list[str]:
    """All values of a parameter that may stand several times."""
    if isinstance(query, MultiMapping):
        return [str(text) for text in query.getall(name, [])]
    return [query[name]] if name in query else []
