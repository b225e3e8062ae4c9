"""The framework pallets are written in: storage, calls, events, errors, origins, dispatch, metadata."""
