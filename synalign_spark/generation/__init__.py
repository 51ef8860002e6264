"""Synthetic rows from a language model: prompts, a plan in waves, calls under one limiter, a durable ledger, acceptance of rows."""
