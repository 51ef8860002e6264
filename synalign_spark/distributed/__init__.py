"""Processes that work on one problem: collectives over gloo, checkpoints, Spark barrier stages."""
