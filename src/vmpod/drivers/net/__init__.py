"""Pod networks: bridge, namespaces, service map and the resolver."""
