"""The product as a method of the comparison: ``sa.align`` on pandas frames, with its defaults or with settings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

import synalign_spark as sa
from synalign_spark.api.align import configurations
from synalign_spark.config.files import parse_setting
from synalign_spark.core.defaults import CONFIDENCE_EXPONENT, WORD_RATIO_EXPONENT
from synalign_spark.core.strength.mixing_weight import usual_mixing_weight
from tests.bench.support.corpora import Corpus
from tests.bench.support.methods import Beside, Weighting, normalised

Float64Array = npt.NDArray[np.float64]
Options = Mapping[str, Any]

OURS = "ours"
USUAL = "usual"  # a mixing weight: the one that the other methods get
ABLATIONS: Mapping[str, Options] = {  # the product with a part left out; the names of the settings are the product's
    OURS: {},
    "ours_no_label_confidence": {"label_confidence": 0},
    "ours_no_density_ratio": {"density_ratio": 0, "embedding_ratio": 0},
    "ours_no_mmd": {
        "regularization": math.inf,
        "label_confidence": CONFIDENCE_EXPONENT,
        "density_ratio": WORD_RATIO_EXPONENT,
        "embedding_ratio": 0.5,
    },
    "ours_usual_mixing": {"mixing_weight": USUAL},
}
LEFT_OUT = {  # of the certificate: what the choice of the weights can be understood without
    "bandwidths", "n_features", "n_synthetic", "n_permutations", "mmd2_fit_before", "mmd2_fit_after", "p_value_before", "p_adjusted_before",
    "p_value_error_before", "p_value_error_after", "dual_value", "duality_gap", "max_weight", "seconds",
}  # fmt: skip


@dataclass(frozen=True)
class Aligned:
    """What the product says of the rows. weight, log_weight, sample_weight: (n,) of the synthetic rows, log_weight within their label;
    real_sample_weight: (m,) of the real rows; certificate: its rows, as JSON can hold them."""

    weight: Float64Array
    log_weight: Float64Array
    sample_weight: Float64Array
    real_sample_weight: Float64Array
    certificate: list[dict[str, Any]]


def options_of(settings: Sequence[str]) -> dict[str, Any]:
    """'mixing_weight=0' (or 'align.mixing_weight=0') as an option of ``sa.align``. Raises ConfigError for one that it does not know."""
    options: dict[str, Any] = {}
    for setting in settings:
        options |= parse_setting(f"align.{setting.removeprefix('align.')}")["align"]
    configurations(options)
    return options


def check_ablations(names: Sequence[str]) -> None:
    """Raises the product's ConfigError where an ablation is by a setting that it does not have."""
    for name in names:
        configurations(resolved(ABLATIONS[name], 1))


def resolved(options: Options, n_synthetic: int) -> dict[str, Any]:
    """The options with USUAL replaced by the number that it stands for."""
    usual = usual_mixing_weight(n_synthetic)
    return {name: usual if value == USUAL else value for name, value in options.items()}


def align(real: Corpus, synthetic: Corpus, seed: int, options: Options, labelled: bool = True) -> Aligned:
    """Weights by ``sa.align``. Ids are made from texts and labels, as a user's are; labelled: whether the product sees the labels.

    Raises what the product raises."""
    columns = {"label": "label"} if labelled else {}
    found = sa.align(_frame(real), _frame(synthetic), text="text", embedding="embedding", seed=seed, **columns, **options)
    of_row = found.weights
    with np.errstate(divide="ignore"):
        log_weight: Float64Array = np.log(of_row["weight_in_label"].to_numpy(dtype=np.float64))
    return Aligned(
        of_row["weight"].to_numpy(dtype=np.float64),
        log_weight,
        of_row["sample_weight"].to_numpy(dtype=np.float64),
        found.real["sample_weight"].to_numpy(dtype=np.float64),
        [_plain(row) for row in found.certificate.rows],
    )


def weigh_by_product(name: str, real: Corpus, synthetic: Corpus, seed: int, settings: Options) -> Weighting:
    """The product, or an ablation of it, as a method. settings: on top of those of the ablation.

    Only rows whose label has real rows are given to it; the others weigh nothing."""
    places = np.flatnonzero(np.isin(synthetic.labels, real.labels))
    rows = synthetic.take(places)
    found = align(real, rows, seed, resolved({**ABLATIONS[name], **settings}, len(rows)))
    log_weight = np.full(len(synthetic), -np.inf)
    log_weight[places] = found.log_weight
    together = {str(label): float(found.sample_weight[rows.labels == label].sum()) for label in np.unique(rows.labels)}
    weight = normalised(log_weight, real.labels, synthetic.labels)
    return Weighting(weight, log_weight, extra=found.certificate, beside=Beside(found.real_sample_weight, together))


def _frame(rows: Corpus) -> pd.DataFrame:
    return pd.DataFrame({"text": rows.texts, "label": rows.labels, "embedding": list(rows.x)})


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A certificate row with short numbers; infinity and NaN as text, which JSON has no numbers for."""
    return {name: _number(value) for name, value in row.items() if name not in LEFT_OUT}


def _number(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if math.isfinite(value) else str(value)
