"""Podman through its libpod REST socket: containers, images, exec sessions, logs. Knows no Kubernetes."""
