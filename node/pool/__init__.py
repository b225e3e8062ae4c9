"""Transactions that wait: order, replacement, limits, one signature check in a node's life."""
