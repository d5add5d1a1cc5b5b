"""Objects to driver specifications, pure."""
