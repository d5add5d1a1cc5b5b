"""What is inside the disk of a machine, read without starting it, mounting it or being root."""
