"""Command groups of the `aitoken` program."""
