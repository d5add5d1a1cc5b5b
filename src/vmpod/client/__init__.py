"""Read, watch and apply objects, in process or over HTTPS."""
