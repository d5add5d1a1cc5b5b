"""What a service account's volume holds. No tokens are issued here, so there is none in it."""

from __future__ import annotations

from vmpod.base.errors import Problem
from vmpod.model.meta import get
from vmpod.node.translate.files import File, Lookup

_ROOT_CA = "kube-root-ca.crt"


def account_files(namespace: str, lookup: Lookup) -> list[File]:
    """The namespace and the certificate of the API's authority. Raises Problem while that is not published yet."""
    found = lookup("ConfigMap", _ROOT_CA)
    if found is None:
        raise Problem("make the volume", f'configmap "{_ROOT_CA}" not found', reason="FailedMount")
    authority = str(get(found, "data", "ca.crt", default=""))
    return [File("ca.crt", authority.encode()), File("namespace", namespace.encode())]
