"""A network of validators on this machine: its plan, its processes and what is shown of them."""
