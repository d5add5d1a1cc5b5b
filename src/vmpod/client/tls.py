"""The TLS side of a kubeconfig context. `ssl` is imported only when a connection is made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vmpod.base.errors import Problem

if TYPE_CHECKING:
    import ssl

    from vmpod.client.kubeconfig import Context


def context_for(context: Context) -> ssl.SSLContext:
    """A client context that trusts the given CA and shows the given certificate. Raises Problem."""
    import ssl

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if context.insecure:
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        elif context.ca:
            tls.load_verify_locations(cadata=context.ca.decode())
        else:
            tls.load_default_certs()
        if context.certificate:
            _show(tls, context.certificate + b"\n" + context.key)
    except (ssl.SSLError, ValueError) as error:
        raise Problem(f"use the certificates of context {context.name}", str(error)) from None
    return tls


def _show(tls: ssl.SSLContext, pem: bytes) -> None:
    """Load a certificate and its key; through memory, for `ssl` reads them from files only."""
    memory = os.memfd_create("client-certificate")
    try:
        os.write(memory, pem)
        tls.load_cert_chain(f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)
