"""Rules of probes and lifecycle hooks of containers."""

from __future__ import annotations

from vmpod.kinds.parts.checks import needed, not_negative, one_of, port_or_name_errors
from vmpod.kinds.parts.reading import mapping, set_keys
from vmpod.model.meta import Object
from vmpod.model.status import FieldError, refused, required, wrong

HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
TIMINGS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def probe_errors(probe: object, path: str, *, once: bool) -> list[FieldError]:
    """One handler, sane timings; `once`: one success must be enough (liveness and startup)."""
    if probe is None:
        return []
    found = mapping(probe)
    errors = [*handler_errors(found, path), *not_negative(found, TIMINGS, path)]
    if once and found.get("successThreshold") not in (None, 0, 1):
        errors.append(wrong(f"{path}.successThreshold", found["successThreshold"], "must be 1"))
    return errors


def handler_errors(holder: Object, path: str) -> list[FieldError]:
    """Exactly one handler, and what it needs."""
    given = set_keys(holder, HANDLERS)
    if not given:
        return [required(path, "must specify a handler type")]
    errors = [refused(f"{path}.{key}", "may not specify more than 1 handler type") for key in given[1:]]
    return [*errors, *_one_handler_errors(given[0], mapping(holder[given[0]]), f"{path}.{given[0]}")]


def _one_handler_errors(kind: str, handler: Object, path: str) -> list[FieldError]:
    match kind:
        case "exec":
            return needed(handler, "command", path)
        case "httpGet":
            return [
                *needed(handler, "path", path),
                *port_or_name_errors(handler.get("port"), f"{path}.port"),
                *one_of(handler, "scheme", path, ("HTTP", "HTTPS")),
            ]
        case "tcpSocket" | "grpc":
            return port_or_name_errors(handler.get("port"), f"{path}.port")
    return []
