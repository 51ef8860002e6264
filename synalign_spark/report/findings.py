"""What a report says, as plain bounded values: the hand-over between measuring and drawing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Row = dict[str, Any]


@dataclass(frozen=True)
class LabelShare:
    """Rows of one label (None: no label): real, synthetic, and the share that the weights give it."""

    label: str | None
    real: int
    synthetic: int
    weighted: float


@dataclass(frozen=True)
class WeightSpread:
    """Distribution of the weights. A relative weight of 1 is uniform.

    centres: relative weights, geometric bin centres, ascending; counts: rows a bin; weight_shares:
    share of the weight a bin; zeros: rows of weight 0; largest: largest relative weight; ess: rows."""

    rows: int
    zeros: int
    centres: list[float]
    counts: list[int]
    weight_shares: list[float]
    ess: float
    largest: float


@dataclass(frozen=True)
class MapPoints:
    """A 2-D map. real: (n, 2); synthetic: (m, 2); relative: (m,) weight over uniform; explained: (2,) shares of variance.

    real_rows: doc_id and text of each; synthetic_rows: doc_id, text, attribute_set_id and capped_by; sets: attributes and demo_ids by
    attribute_set_id; shown_texts: texts of these demonstrations. All four are empty where the page shall hold no texts of the map.
    lacking: cluster_id of clusters that lack synthetic rows, and where their centroids lie, (2,)."""

    real: FloatArray
    real_labels: list[str | None]
    synthetic: FloatArray
    synthetic_labels: list[str | None]
    relative: FloatArray
    explained: FloatArray
    real_rows: list[Row] = field(default_factory=list)
    synthetic_rows: list[Row] = field(default_factory=list)
    sets: dict[str, Row] = field(default_factory=dict)
    shown_texts: dict[str, str] = field(default_factory=dict)
    lacking: list[tuple[int, FloatArray]] = field(default_factory=list)


@dataclass(frozen=True)
class Generation:
    """What the language model was asked and what came of it. calls: (step, status) to number; refused: rows by reason; examples: text and
    detail of two refused rows each, of one where there is no more, and of none that holds personal data."""

    calls: dict[tuple[str, str], int] = field(default_factory=dict)
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None
    refused: dict[str, int] = field(default_factory=dict)
    accepted: int = 0
    examples: dict[str, list[Row]] = field(default_factory=dict)

    @property
    def n_calls(self) -> int:
        return sum(self.calls.values())

    @property
    def acceptance(self) -> float | None:
        """Share of the written rows that were accepted; None before any was written."""
        written = self.accepted + sum(self.refused.values())
        return self.accepted / written if written else None


@dataclass(frozen=True)
class ClassifierScore:
    """A downstream classifier by the rows it was trained on: their name and number, and its accuracy on held-out real rows
    with its standard error."""

    name: str
    rows: int
    accuracy: float
    standard_error: float


@dataclass(frozen=True)
class Gain:
    """Accuracy of one downstream classifier minus that of another, with its standard error, paired over the held-out rows."""

    accuracy: float
    error: float


@dataclass(frozen=True)
class DownstreamCheck:
    """Scores of one downstream classifier trained on four sets: synthetic rows, synthetic rows by weight, real rows, and real and
    weighted synthetic rows.

    gain: of the weights, over uniform synthetic rows; gain_beside_real: of weighted synthetic rows beside real ones, over real rows alone."""

    scores: list[ClassifierScore]
    n_holdout: int
    gain: Gain
    gain_beside_real: Gain


@dataclass(frozen=True)
class Missing:
    """Where synthetic rows are still missing. A share is one of the label's rows, or of its weight.

    totals: label, before, after by label: the sum over clusters of max(0, real share - synthetic share), by base
    weight and by weight; clusters: rows of the witness table, the largest missing share first."""

    totals: list[Row]
    clusters: list[Row]


@dataclass(frozen=True)
class Findings:
    """Everything on the page. A part that was not run is empty or None."""

    run_id: str
    certificate: list[Row]
    labels: list[LabelShare]
    weights: WeightSpread | None
    points: MapPoints | None
    coverage: list[Row]
    solver: list[Row]
    mixing_weights: list[Row]  # of the synthetic rows beside real ones, that cross-validation compared
    generation: Generation
    rejects: list[Row]
    downstream: DownstreamCheck | None
    downstream_skipped: str  # why there is none
    highest: list[Row]
    lowest: list[Row]
    steps: dict[str, Row]
    config: str
    missing: Missing | None = None
    evaluation: Mapping[str, Mapping[str, Row]] = field(default_factory=dict)  # rows of the table by figure and kind of rows
    rounds: list[Row] = field(default_factory=list)  # of the closed loop, none where there is no loop

    @property
    def overall(self) -> Row | None:
        """The certificate's row for all labels together."""
        return next((row for row in self.certificate if row["label"] is None), None)
