"""Foreign descriptions in, objects out."""
