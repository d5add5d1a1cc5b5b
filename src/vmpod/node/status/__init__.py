"""Observed host state to object status, pure."""
