"""SynAlign on Spark: synthetic rows that follow the distribution of a real corpus.

    >>> import synalign_spark as sa
    >>> [name for name in sa.__all__ if name.islower()]
    ['align', 'evaluate', 'export', 'generate', 'run', 'select', 'selection_trace']

Nothing heavy is imported before a function is first used: pandas calls need neither Java nor, with vectors given, torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "align": "api.align", "Alignment": "api.alignment", "Certificate": "alignment.certificate", "select": "api.select",
    "selection_trace": "api.select", "evaluate": "api.evaluate", "Evaluation": "evaluation.result", "export": "api.export", "generate": "api.generate", "run": "api.run", "Run": "api.run",
    "Aligner": "ml.aligner", "AlignerModel": "ml.aligner", "SynAlignKMeans": "ml.kmeans", "SynAlignKMeansModel": "ml.kmeans",
    "ExplorationSelector": "ml.selector", "ExplorationSelectorModel": "ml.selector",
}  # fmt: skip
__all__ = sorted(_PUBLIC)

if TYPE_CHECKING:  # what __getattr__ brings, for editors and type checkers
    from synalign_spark.alignment.certificate import Certificate as Certificate
    from synalign_spark.api.align import align as align
    from synalign_spark.api.alignment import Alignment as Alignment
    from synalign_spark.api.evaluate import evaluate as evaluate
    from synalign_spark.api.export import export as export
    from synalign_spark.api.generate import generate as generate
    from synalign_spark.api.run import Run as Run
    from synalign_spark.api.run import run as run
    from synalign_spark.api.select import select as select
    from synalign_spark.api.select import selection_trace as selection_trace
    from synalign_spark.evaluation.result import Evaluation as Evaluation
    from synalign_spark.ml import Aligner as Aligner
    from synalign_spark.ml import AlignerModel as AlignerModel
    from synalign_spark.ml import ExplorationSelector as ExplorationSelector
    from synalign_spark.ml import ExplorationSelectorModel as ExplorationSelectorModel
    from synalign_spark.ml import SynAlignKMeans as SynAlignKMeans
    from synalign_spark.ml import SynAlignKMeansModel as SynAlignKMeansModel


def __getattr__(name: str) -> Any:
    """The public functions and estimators, each imported when it is first asked for."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    from synalign_spark.extras import extras_named

    with extras_named():
        found = getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
