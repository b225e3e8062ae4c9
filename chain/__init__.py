"""The state transition: block in, root out. Pure: no input or output, no clock, no randomness."""
