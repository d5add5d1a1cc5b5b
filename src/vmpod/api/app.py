"""The API as one callable: who asks, what for, and how failures are told."""

from __future__ import annotations

import orjson

from vmpod.api import accounts, admission, representation, rights, routes
from vmpod.api.addresses import ServiceAddresses
from vmpod.api.auth import check_user
from vmpod.api.call import ApiConfig, Backend
from vmpod.api.pages import Pages
from vmpod.api.sockets import Tunnel
from vmpod.api.streams import NoStreams, Streams
from vmpod.base import log
from vmpod.base.errors import Problem
from vmpod.client.inprocess import Request, Response
from vmpod.model import status
from vmpod.store import Store

_log = log.get("api")


class Api:
    """The chain that every request takes, from inside this process or over TLS: authentication, rights, route,
    endpoint.

    Opening it reads which addresses the stored Services hold.
    """

    def __init__(self, store: Store, streams: Streams | None = None, config: ApiConfig | None = None) -> None:
        self.config = config or ApiConfig()
        addresses = ServiceAddresses(self.config.service_cidr, self.config.node_ports, cidr6=self.config.service_cidr6)
        self.backend = Backend(store, streams or NoStreams(), self.config, addresses, Pages())
        admission.settle_all(self.backend)

    async def __call__(self, request: Request, /) -> Response:
        """Answer a request that is no upgrade."""
        answer = await self.connect(request)
        if isinstance(answer, Tunnel):
            await answer.abandon()
            return error_response(status.bad_request("this transport carries no upgrades"))
        return answer

    async def connect(self, request: Request) -> Response | Tunnel:
        """Answer a request; one that asks to become a WebSocket gets the tunnel that then goes on."""
        try:
            request = accounts.authenticated(self.backend, request)
            check_user(request.user, request.path, routes.OPEN)
            rights.check(request)
            endpoint, call = routes.route(request, self.backend)
            return await endpoint(call)
        except status.ApiError as error:
            return error_response(error)
        except Problem as problem:  # the host refuses, as with a full disk: words for people, no trace of ours
            _log.warning("%s %s: %s", request.method, request.path, problem)
            return error_response(status.internal(problem))
        except Exception as fault:
            _log.exception("%s %s failed", request.method, request.path)
            return error_response(status.internal(fault))


def error_response(error: status.ApiError) -> Response:
    """The Status that tells of a failed request."""
    headers = {"content-type": representation.JSON, "cache-control": "no-cache, private"}
    if retry := error.details.get("retryAfterSeconds"):
        headers["retry-after"] = str(retry)
    return Response(error.code, headers, orjson.dumps(error.to_status()))
