"""The host: podman, QEMU, networks, images and disks. Knows no Kubernetes."""
