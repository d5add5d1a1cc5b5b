"""The node agent: what pods and machines should be, against what the host shows."""
