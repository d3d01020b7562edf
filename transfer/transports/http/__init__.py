"""A store as its users read it: over HTTP, and only to read."""
