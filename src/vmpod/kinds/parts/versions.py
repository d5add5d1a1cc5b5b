"""Versions of KubeVirt's API that are on their way out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# KubeVirt's own words, as its custom resource definitions carry them (deprecationWarning).
DEPRECATED: Mapping[str, str] = MappingProxyType(
    {"v1alpha3": "kubevirt.io/v1alpha3 is now deprecated and will be removed in a future release."}
)
