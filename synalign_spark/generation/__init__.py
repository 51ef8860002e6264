"""Calls to the language model: a Ray actor pool, one limiter, a durable ledger, OpenAI-compatible clients."""
