"""Estimators in the manner of Spark ML: parameters, ``fit``, ``transform``, and persistence."""
