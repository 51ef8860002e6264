"""A retriever that learns from synthetic queries, weighed so that they follow real ones. `python -m examples.retriever --help`."""
