"""What every floor stands on: errors, log, clock, subprocesses, paths. No Kubernetes words."""
