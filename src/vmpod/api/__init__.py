"""The Kubernetes-compatible API."""
