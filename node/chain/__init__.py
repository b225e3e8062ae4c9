"""The chain as this node knows it: unfinalised blocks in memory, final ones on disk, and what makes new ones."""
