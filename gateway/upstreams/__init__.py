"""Where answers come from: servers with an OpenAI-compatible API, and small models that are built in."""
