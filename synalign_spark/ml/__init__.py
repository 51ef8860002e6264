"""Estimators in the manner of Spark ML: parameters, ``fit``, ``transform``, and persistence."""

from synalign_spark.ml.kmeans import SynAlignKMeans, SynAlignKMeansModel
from synalign_spark.ml.selector import ExplorationSelector, ExplorationSelectorModel

__all__ = ["ExplorationSelector", "ExplorationSelectorModel", "SynAlignKMeans", "SynAlignKMeansModel"]
