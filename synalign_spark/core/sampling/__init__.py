"""Choosing rows: Gaussian process, k-means, quotas, and draws by weight."""
