"""``align``: one weight per synthetic row, so that the weighted rows follow the distribution of real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from synalign_spark.api.alignment import WEIGHT_COLUMNS, Alignment, Frame
from synalign_spark.api.clear_errors import clear_errors
from synalign_spark.api.columns import AlignColumns
from synalign_spark.api.frames import check_seed, one_kind
from synalign_spark.api.options import configuration
from synalign_spark.config import AlignConfig, EmbedConfig
from synalign_spark.errors import DataError

SECTIONS = ("align", "embed")


def align(
    real: Frame,
    synthetic: Frame,
    *,
    text: str | None = "text",
    label: str | None = None,
    embedding: str | None = None,
    weight: str | None = None,
    id: str | None = None,
    seed: int = 0,
    report: Callable[[str], None] | None = None,
    **options: Any,
) -> Alignment[Frame]:
    """Weights for synthetic rows, by a random-feature MMD to real rows and what real rows say of their labels.

    Minimises KL(w || q) + ||sum_i w_i phi(s_i) - mu||^2 / (2 lambda) for each label, to a relative duality gap of 1e-6: phi are random
    features of an RBF kernel on embeddings, mu is their mean over the real rows, q the base measure (see ``docs/concepts.md``; Ren et al.
    2025, arXiv 2502.08661, section 3.4, is the case lambda -> 0 with uniform q).

    real, synthetic: pandas or Spark DataFrames, both of one kind. pandas frames are worked on in this process, without Java.
    text: column with the text, None for frames without one; label: column with the class, text, integers or booleans;
    embedding: column with a vector a row, of one width (then no model is needed; where there is a text column too, its words help);
    weight: column with a prior weight >= 0 of each row, in one of the frames or both, null is 1; id: column with unique ids, by default the
    sha256 of text and label, or of the vector. Rows with equal ids count as one, and share its weight.
    seed: of the features, the splits of the real rows and the samples; the same rows and seed give the same weights in both kinds of
    frames, in any order and partitioning (to 1e-6 where the solve runs on executors). report: gets a line for each decision.
    options: any key of the configuration's sections ``align`` (regularization, n_features, label_confidence, density_ratio, mixing_weight,
    ess_floor, max_weight, label_shares, holdout, ...) and, for the encoder, ``embed`` (model, batch_size, max_tokens).

    Raises ConfigError for an unknown option or one out of its limits, DataError for rows that cannot be used: a column that is missing,
    an empty side, a label without real rows, two columns of one name or of a name that the result's have, vectors that are
    not finite, zeros alone or of different widths, texts that are empty.

    >>> import pandas as pd
    >>> from math import cos, sin
    >>> real = pd.DataFrame({"vec": [[cos(i / 60), sin(i / 60)] for i in range(60)]})
    >>> synthetic = pd.DataFrame({"vec": [[cos(i / 10), sin(i / 10)] for i in range(30)]})  # half of them where no real row is
    >>> result = align(real, synthetic, embedding="vec", text=None, n_features=64, regularization=0.01)
    >>> bool(result.weights["weight"][:10].sum() > 0.9)
    True
    >>> bool(result.certificate.mmd2_after < result.certificate.mmd2_before)
    True"""
    check_seed(seed)
    cfg, encoder = configurations(options)
    kind = one_kind(real, synthetic)
    columns = AlignColumns.of(real.columns, synthetic.columns, text=text, label=label, embedding=embedding, weight=weight, id=id)
    _check_free(real.columns, ("sample_weight",), "real")
    _check_free(synthetic.columns, WEIGHT_COLUMNS, "synthetic")
    if kind == "pandas":
        from synalign_spark.api.align_pandas import align_pandas

        return align_pandas(real, synthetic, columns, cfg, encoder, seed, report or _quiet)
    from synalign_spark.api.align_spark import align_spark

    with clear_errors():
        return align_spark(real, synthetic, columns, cfg, encoder, seed, report or _quiet)


def _check_free(columns: Iterable[Any], ours: Sequence[str], side: str) -> None:
    """Raises DataError for a column that a result's would take the place of; names in another case are the same name to Spark."""
    if taken := [str(name) for name in columns if str(name).casefold() in ours]:
        raise DataError(f"the {side} frame has a column {', '.join(taken)}, a name that the result's own columns have; rename or drop it")


def _quiet(line: str) -> None:
    pass


def configurations(options: dict[str, Any]) -> tuple[AlignConfig, EmbedConfig]:
    """The sections ``align`` and ``embed`` with the options laid into them. Raises ConfigError."""
    cfg = configuration(options, SECTIONS, "align")
    return cfg.align, cfg.embed
