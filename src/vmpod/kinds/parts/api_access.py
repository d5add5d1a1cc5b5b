"""What Kubernetes puts into every pod for its service account: a token, the API's authority and the namespace."""

from __future__ import annotations

from typing import Final

from vmpod.model.meta import Object

MOUNT_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
PREFIX: Final = "kube-api-access-"
TOKEN_S: Final = 3607  # by this very number the API knows tokens that old clients may read but once
ROOT_CA: Final = "kube-root-ca.crt"


def api_access() -> Object:
    """The projected volume's source."""
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_S, "path": "token"}},
        {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]}
