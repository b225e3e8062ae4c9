"""SCALE: one type description gives the coder and the metadata type. Pure."""
