"""Agreement on opaque payloads by Simplex with stake. Pure: inputs in, ordered effects out."""
