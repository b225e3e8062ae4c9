"""The seller's door: an HTTP server for AI that is paid by the voucher, in front of any OpenAI-compatible server."""
