"""Disks that travel inside OCI images."""
