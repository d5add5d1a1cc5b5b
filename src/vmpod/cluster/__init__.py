"""Real clusters, seen through the client only."""
