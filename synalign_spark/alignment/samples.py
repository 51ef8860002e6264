"""The bounded samples of both sides that the driver looks at, drawn by hash in one pass over each side.

Of the real rows: 1,000 for the bandwidth, about 4,000 of each half that validate candidates, and about ``align.certificate_rows`` held-out ones a
label. Of the synthetic rows: about ``align.warm_start_rows``. Every sample is in the order of the ids.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from synalign_spark.alignment.sides import HALVES, Draw, Side
from synalign_spark.alignment.survey import Survey
from synalign_spark.config.alignment import AlignConfig
from synalign_spark.core.defaults import (
    BANDWIDTH_ROWS,
    FEWEST_SAMPLE_ROWS,
    MOST_CERTIFICATE_ROWS,
    MOST_REFERENCE_ROWS,
    RARE_VALIDATION_ROWS,
    REFERENCE_ROWS,
    SAMPLE_LIMIT,
    SAMPLE_SHARE,
    VALIDATION_ROWS,
)
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.solver.path import Sample
from synalign_spark.core.strength.candidates import Half, Pool
from synalign_spark.core.strength.classifiers import Labelled, Views, hashed_ngrams
from synalign_spark.core.strength.density_ratio import Texts
from synalign_spark.udfs.arrow import to_matrix

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SideSample:
    """Rows of one side that have weight. views: their views, labels and weights; group: (n,); half: (n,), which half of the synthetic
    rows a row is in: classifiers of one half score the other."""

    views: Views
    group: npt.NDArray[np.object_]
    half: npt.NDArray[np.bool_]

    @property
    def texts(self) -> Texts:
        """The words of the rows."""
        return Texts(self.views.ngrams, self.group, self.views.weight, self.half)

    @property
    def labelled(self) -> Labelled:
        """Embeddings, labels and weights."""
        return self.views.x, self.views.labels, self.views.weight


@dataclass(frozen=True)
class RealSample:
    """The samples of the real rows. rows: all of them, with a boolean column for each; weights: (n,) of those that validate; held_out_rates:
    share of each group's held-out rows that the certificate looks at; rows_a_group: so many of them at most."""

    rows: pa.Table
    weights: Float64Array
    held_out_rates: Mapping[str, float]
    rows_a_group: int

    def bandwidth_rows(self) -> Float32Array:
        """Of the rows that are not held out the 1,000 with the smallest hash, (n, d)."""
        kept = self.rows.filter(self.rows.column("bandwidth"))
        order = sorted(range(kept.num_rows), key=lambda i: (kept.column("u_bandwidth")[i].as_py(), kept.column("doc_id")[i].as_py()))
        rows: Float32Array = to_matrix(kept.column("embedding"))[np.sort(order[:BANDWIDTH_ROWS])]
        return rows

    def held_out(self) -> pa.Table:
        """Held-out rows, for the certificate."""
        return self.rows.filter(self.rows.column("held_out"))

    def shaping(self) -> SideSample:
        """Rows of both halves."""
        return self._side(self._mask("validating"))

    def reference(self) -> pa.Table:
        """Rows that synthetic ones are compared with."""
        return self.rows.filter(self.rows.column("reference"))

    def halves(self, means: Mapping[str, Mapping[str, Sample]], groups: Sequence[str]) -> tuple[Half, Half]:
        """Both halves: means of all rows, vectors and texts of a sample. groups: those that take part."""
        splits = np.asarray(self.rows.column("split").to_pylist(), dtype=object)
        first, second = (
            Half({group: means[group][name] for group in groups}, self._side(self._mask("validating") & (splits == name)).views)
            for name in HALVES
        )
        return first, second

    def _mask(self, draw: str) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = self.rows.column(draw).to_numpy()
        return found

    def _side(self, mask: npt.NDArray[np.bool_]) -> SideSample:
        rows = self.rows.filter(pa.array(mask))
        return SideSample(_views(rows, self.weights[mask]), _column(rows, "grp"), np.zeros(rows.num_rows, dtype=bool))


def draw_real(real: Side, counts: Survey, validating: Sequence[str], cfg: AlignConfig) -> RealSample:
    """Every sample of the real rows that is needed. validating: groups whose rows, and their texts, choose the strength."""
    shaping = {group: _validation_rate(counts, group) for group in validating}
    most = min(cfg.certificate_rows, max(50, MOST_CERTIFICATE_ROWS // len(counts.groups)))
    held_out = {group: _held_out_rate(counts, group, most) for group in counts.groups}
    draws = {
        "validating": Draw("u", shaping, HALVES, weighted=True),
        "held_out": Draw("u", held_out, ("holdout",)),
    }
    if cfg.cap_outliers:
        draws["reference"] = Draw("u", {group: _reference_rate(counts, group) for group in counts.groups}, HALVES, weighted=True)
    if cfg.bandwidth == "median":
        splits = HALVES if counts.n_shaping else ()  # of one or two rows all may be held out
        draws["bandwidth"] = Draw("u_bandwidth", dict.fromkeys(counts.real, _share_for(BANDWIDTH_ROWS, counts.n_shaping)), splits)
    with_texts = ["text"] if validating or cfg.cap_outliers else []
    columns = ["doc_id", "label", "grp", "split", "u", "u_whole", "u_bandwidth", "prior", "embedding", *with_texts]
    rows = real.sample(draws, columns)
    if "bandwidth" in draws and sum(rows.column("bandwidth").to_pylist()) < min(BANDWIDTH_ROWS, counts.n_shaping):
        draws["bandwidth"] = replace(
            draws["bandwidth"], rates=dict.fromkeys(counts.real, 1.0)
        )  # hash numbers were uneven, once in 10^9 times
        rows = real.sample(draws, columns)
    rates = np.array([shaping.get(group, 1.0) for group in rows.column("grp").to_pylist()])
    return RealSample(rows, rows.column("prior").to_numpy() / rates, held_out, most)


def _share_for(rows: int, total: int) -> float:
    """A share of hash numbers below which there are ``rows`` at least, but for six standard deviations."""
    return min(1.0, (rows + 6 * math.sqrt(rows) + 36) / max(total, 1))


def _validation_rate(counts: Survey, group: str) -> float:
    """For about VALIDATION_ROWS of each half; of a rare label nearly all, which then weigh less."""
    return min(1.0, max(2.5 * VALIDATION_ROWS / counts.n_real, RARE_VALIDATION_ROWS / counts.real[group]))


def _reference_rate(counts: Survey, group: str) -> float:
    """For about REFERENCE_ROWS rows of a label."""
    return min(1.0, min(REFERENCE_ROWS, MOST_REFERENCE_ROWS / len(counts.groups)) / counts.real[group])


def _held_out_rate(counts: Survey, group: str, most: int) -> float:
    """For about ``most`` held-out rows; 0 for a group that is not split."""
    return min(1.0, most / counts.effective[group]["holdout"]) if counts.is_split(group) else 0.0


def draw_synthetic(synthetic: Side, counts: Survey, eligible: Sequence[str], cfg: AlignConfig) -> pa.Table:
    """About ``warm_start_rows`` synthetic rows of the eligible groups, with texts where there are some."""
    share = cfg.warm_start_rows / counts.n_synthetic
    rates = {group: min(1.0, max(share, FEWEST_SAMPLE_ROWS / counts.synthetic[group])) for group in eligible}
    return synthetic.sample({"taken": Draw("u_warm", rates)}, ["doc_id", "label", "grp", "prior", "embedding", "u_draw", "half", "text"])


def synthetic_sample(rows: pa.Table) -> SideSample:
    """The rows with weight, with the weights that they came with. rows: of ``draw_synthetic``."""
    rows = rows.filter(pa.array(rows.column("prior").to_numpy() > 0))
    return SideSample(_views(rows, rows.column("prior").to_numpy()), _column(rows, "grp"), rows.column("half").to_numpy())


def synthetic_pool(rows: pa.Table, features: FeatureMap) -> Pool:
    """The rows by group and id. rows: of ``draw_synthetic``."""
    group, ids = _column(rows, "grp"), _column(rows, "doc_id")
    order = np.lexsort((ids, group))
    rows, group = rows.take(pa.array(order)), group[order]
    views = _views(rows, rows.column("prior").to_numpy())
    with np.errstate(divide="ignore"):
        log_prior = np.log(views.weight)
    return Pool(views, group, features(views.x), log_prior, rows.column("u_draw").to_numpy(), rows.column("half").to_numpy())


def solver_shares(counts: Survey, fewest: int) -> dict[str, float]:
    """Share of each group's synthetic rows in the solver's sample. fewest: align.warm_start_rows."""
    share = sample_rows(counts.n_synthetic, fewest) / counts.n_synthetic
    return {group: min(1.0, max(share, FEWEST_SAMPLE_ROWS / counts.synthetic[group])) for group in counts.groups}


def sample_rows(total: int, fewest: int) -> int:
    """Rows of the solver's sample of ``total``. fewest: align.warm_start_rows."""
    most = SAMPLE_LIMIT * fewest
    return total if total <= most else min(max(fewest, int(SAMPLE_SHARE * total)), most)


def _views(rows: pa.Table, weight: Float64Array) -> Views:
    texts = rows.column("text").to_pylist() if "text" in rows.column_names else None
    ngrams = None if texts is None else hashed_ngrams([text or "" for text in texts])
    return Views(to_matrix(rows.column("embedding")), ngrams, _column(rows, "label"), weight)


def _column(rows: pa.Table, name: str) -> npt.NDArray[np.object_]:
    return np.asarray(rows.column(name).to_pylist(), dtype=object)
