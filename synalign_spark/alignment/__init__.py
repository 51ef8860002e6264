"""Weights for synthetic rows: what the solver reads, how strongly it aligns, where it runs, and its tables."""
