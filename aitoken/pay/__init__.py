"""Paying for AI by the unit: what buyer, seller and chain compute alike. Pure: no clock, no files, no network."""
