"""POST …/token of a ServiceAccount."""

from __future__ import annotations

from vmpod.api.call import Call
from vmpod.client.inprocess import Response
from vmpod.model import status


async def token(call: Call) -> Response:
    """Refused: clients show certificates here, no tokens are issued."""
    call.current()
    raise status.ApiError(
        501, "NotImplemented",
        f"cannot issue a token for serviceaccounts {status.quote(call.name)}: "
        "this server knows its clients by their certificates and issues no tokens",
    )
