"""Virtual machines and containers side by side in one workflow, on one machine."""

__version__ = "0.1.0"
