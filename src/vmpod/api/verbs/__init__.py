"""One file per API verb."""
