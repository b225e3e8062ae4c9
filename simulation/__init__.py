"""The whole network in one process: one seed, virtual time, faults on purpose."""
