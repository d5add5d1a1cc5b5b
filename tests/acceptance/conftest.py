"""Homes for the acceptance tests: the same as for the end-to-end tests."""

from __future__ import annotations

from ..e2e.conftest import home, host, story

__all__ = ["home", "host", "story"]
