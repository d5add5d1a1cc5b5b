"""What stands below an object in REST paths: scale, binding, eviction, log, exec …, and the verbs of machines."""
