"""Measures what calls and hooks cost and freezes it in `chain/weights.py`: `make weights`."""
