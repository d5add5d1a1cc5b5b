"""What several kinds share: metadata, pod specs, machine specs, columns."""
