"""The pallets of AI payments: payments, plans, allowances, disputes, and what they rest on."""
