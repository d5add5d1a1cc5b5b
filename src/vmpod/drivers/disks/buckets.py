"""Objects in S3 and in Google Cloud Storage: their URL over HTTP, and the headers that say who asks for them.

The signatures are made by libraries of AWS and of Google, which are imported only here, in the importer's process. Who
asks is what the source's secret says, or nobody: credentials of this machine (environment, files, metadata services)
are never looked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from vmpod.base.errors import Problem

Signer = Callable[[Mapping[str, str]], Mapping[str, str]]
"""From the headers of a request to those that say who asks; no other server may hear these."""
_GOOGLE = "https://storage.googleapis.com"
_READ = "https://www.googleapis.com/auth/devstorage.read_only"
_OF_AWS = re.compile(r"s3[.-](.+)\.amazonaws\.com$")
_REGION = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")
_DEFAULT_REGION = "us-east-1"


def object_url(source: str) -> str:
    """The URL that an object is read from: `SCHEME://HOST/BUCKET/KEY`, or Google's for `gs://BUCKET/KEY`.

    Raises Problem for one that names no object.
    """
    parts = urlsplit(source)
    if parts.scheme == "gs":
        host, path = _GOOGLE, f"{parts.netloc}{parts.path}"
    else:
        host, path = f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/")
    bucket, _, key = path.partition("/")
    if not (parts.netloc and bucket and key):
        raise Problem(f"download {source}", "it names no object", "write it as …/BUCKET/KEY", "Unsupported")
    return f"{host}/{quote(unquote(bucket))}/{quote(unquote(key), safe='/-_.~')}"


def s3_signer(url: str, key_id: str, secret: str) -> Signer:
    """Signs for S3, by version 4; unsigned without a key. Raises Problem for half a key."""
    if not key_id and not secret:
        return lambda headers: {}
    if not (key_id and secret):
        why = "of accessKeyId and secretKey the secret has only one"
        raise Problem(f"download {url}", why, "give both, or no secretRef for what all may read", "Unsupported")
    return lambda headers: _signed(url, key_id, secret, headers)


def region_of(host: str) -> str:
    """The region that a signature is for, by CDI's rule: told by the names of AWS, else the host's first label."""
    name = urlsplit(f"//{host}").hostname or ""
    found = _OF_AWS.search(name)
    label = found[1] if found else name.partition(".")[0]
    return label if _REGION.match(label) and name != "s3.amazonaws.com" else _DEFAULT_REGION


def _signed(url: str, key_id: str, secret: str, headers: Mapping[str, str]) -> dict[str, str]:
    from awscrt import auth, http

    parts = urlsplit(url)
    request = http.HttpRequest("GET", parts.path, http.HttpHeaders([("Host", parts.netloc), *headers.items()]))
    config = auth.AwsSigningConfig(
        algorithm=auth.AwsSigningAlgorithm.V4, signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
        credentials_provider=auth.AwsCredentialsProvider.new_static(key_id, secret),
        region=region_of(parts.netloc), service="s3", date=datetime.now(UTC),
        use_double_uri_encode=False, should_normalize_uri_path=False,  # S3 alone takes paths as they are
        signed_body_value=auth.AwsSignedBodyValue.UNSIGNED_PAYLOAD,
        signed_body_header_type=auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
    )  # fmt: skip
    signed = auth.aws_sign_request(request, config).result(timeout=30)
    return {key: value for key, value in signed.headers if key not in headers and key != "Host"}


def google_signer(url: str, credentials: str) -> Signer:
    """Signs for Google Cloud Storage, as the service account of a key file (its text); unsigned without one.

    Raises Problem for credentials of another kind: those may name files and programs of this machine.
    """
    if not credentials:
        return lambda headers: {}
    account = _account(url, credentials)

    def sign(_: Mapping[str, str]) -> dict[str, str]:
        account.refresh(None)  # signs a token by itself, and asks nobody
        return {"Authorization": f"Bearer {account.token}"}

    return sign


def _account(url: str, credentials: str) -> Any:
    from google.oauth2 import service_account

    what, fix = f"download {url}", "put the key file of a service account into the secret, as credentials.json"
    try:
        said = json.loads(credentials)
        kind = said.get("type")
        if kind != "service_account":
            why = f"credentials of the type {kind} are not used, only those of a service_account"
            raise Problem(what, why, fix, "Unsupported")
        make: Any = service_account.Credentials.from_service_account_info
        return make(said, scopes=[_READ], always_use_jwt_access=True)
    except (ValueError, AttributeError) as error:
        raise Problem(what, f"its credentials cannot be read ({error})", fix, "Unsupported") from None
