"""Faults done to a running network of real processes: links cut, nodes killed and frozen, under load, from a seed."""
