"""Disk images: inspect, convert, overlay and import."""
