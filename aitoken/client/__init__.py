"""JSON-RPC client, metadata-driven transaction builder and subscriptions."""
