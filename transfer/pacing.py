"""Whether a place may be used now and how hard: circuit breaker and concurrency, as pure decisions with their reasons."""
