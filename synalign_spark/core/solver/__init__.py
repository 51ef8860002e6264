"""The weights: the dual problem, one pass over rows, and the path of lambda."""
