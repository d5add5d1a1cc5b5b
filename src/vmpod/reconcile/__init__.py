"""The loop, written once: queue, gather, plan, apply, status."""
