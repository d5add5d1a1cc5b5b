"""Arguments to client calls to print. One file per command."""
