"""The OpenAI Batch API: calls in a file, answers in a file within 24 hours, for less money."""
