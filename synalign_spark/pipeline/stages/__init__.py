"""The stages: each reads tables, calls one function, writes tables."""
