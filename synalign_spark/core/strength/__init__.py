"""How strongly to align: candidates for the base measure and lambda, and what validates them."""
