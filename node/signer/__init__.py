"""The validator key: what it may sign, what it has signed, and on which machine."""
