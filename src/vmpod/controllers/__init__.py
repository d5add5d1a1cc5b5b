"""Control loops that speak only through objects."""
