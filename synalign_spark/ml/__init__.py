"""Estimators in the manner of Spark ML: parameters, ``fit``, ``transform``, and persistence."""

from synalign_spark.ml.aligner import Aligner, AlignerModel
from synalign_spark.ml.kmeans import SynAlignKMeans, SynAlignKMeansModel
from synalign_spark.ml.selector import ExplorationSelector, ExplorationSelectorModel

__all__ = ["Aligner", "AlignerModel", "ExplorationSelector", "ExplorationSelectorModel", "SynAlignKMeans", "SynAlignKMeansModel"]
