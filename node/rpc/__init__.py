"""JSON-RPC as Substrate clients expect it, one module per namespace."""
