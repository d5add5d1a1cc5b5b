"""What the CDIConfig says of imports: registries without TLS, and proxies on the way to servers."""

from __future__ import annotations

from vmpod.client.cache import Cache
from vmpod.drivers.podman import names
from vmpod.kinds import CDICONFIG, CONFIGMAP
from vmpod.model.meta import Object, get

_NAMESPACE = "cdi"
_VARIABLES = {"HTTPProxy": "http_proxy", "HTTPSProxy": "https_proxy", "noProxy": "no_proxy"}


def _spec(cache: Cache) -> Object:
    return dict(get(cache.get(CDICONFIG, "", "config"), "spec", default={}))


def is_insecure(cache: Cache, image: str) -> bool:
    """Whether the registry of an image is asked without TLS, or with a certificate that nobody checks."""
    host = names.parse(image).remote.partition("/")[0]
    return host in (_spec(cache).get("insecureRegistries") or ())


def proxies(cache: Cache) -> tuple[tuple[str, str], ...]:
    """The variables that tell a program of the proxies."""
    said = _spec(cache).get("importProxy") or {}
    return tuple((variable, str(said[key])) for key, variable in _VARIABLES.items() if said.get(key))


def authorities(cache: Cache) -> str:
    """The certificates (PEM) of the authorities that the proxies are known by."""
    wanted = get(_spec(cache), "importProxy", "trustedCAProxy", default="")
    found = cache.get(CONFIGMAP, _NAMESPACE, wanted) if wanted else None
    return "\n".join(get(found, "data", default={}).values())
