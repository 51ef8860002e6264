"""The bounded samples of both sides that the driver looks at, drawn by hash in one pass over each side.

Of the real rows: 1,000 for the bandwidth, about 10,000 that shape the base measure, and about ``align.certificate_rows`` held-out ones a
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
from synalign_spark.core.defaults import (
    BANDWIDTH_ROWS,
    FEWEST_SAMPLE_ROWS,
    MOST_CERTIFICATE_ROWS,
    MOST_REFERENCE_ROWS,
    RARE_SHAPING_ROWS,
    REFERENCE_ROWS,
    SAMPLE_LIMIT,
    SAMPLE_SHARE,
    SHAPING_ROWS,
)
from synalign_spark.core.strength.base_measure import SideRows
from synalign_spark.core.strength.classifiers import Views, hashed_ngrams
from synalign_spark.udfs.arrow import to_matrix

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RealSample:
    """The samples of the real rows. rows: all of them, with a boolean column for each; weights: (n,) of those that shape the base measure;
    held_out_rates: share of each group's held-out rows that the certificate looks at; rows_a_group: so many of them at most."""

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

    def shaping(self) -> SideRows:
        """Rows that shape the base measure and the choice of the mixing weight: none that is held out, but of a label too small to be split."""
        kept = self.rows.column("shaping").to_numpy() | self.rows.column("unsplit").to_numpy()
        rows = self.rows.filter(pa.array(kept))
        return SideRows(_views(rows, self.weights[kept]), _column(rows, "grp"), np.zeros(rows.num_rows, dtype=bool))

    def reference(self) -> pa.Table:
        """Rows that synthetic ones are compared with."""
        return self.rows.filter(self.rows.column("reference"))


def draw_real(real: Side, counts: Survey, looked_at: Sequence[str], certificate_rows: int, *, for_reference: bool) -> RealSample:
    """Every sample of the real rows that is needed. looked_at: groups whose rows, and their texts, shape the base measure; certificate_rows:
    held-out rows a label, about, at most; for_reference: whether synthetic rows are compared with real ones."""
    shaping = {group: _shaping_rate(counts, group) for group in looked_at}
    unsplit = {group: rate for group, rate in shaping.items() if not counts.is_split(group)}
    most = min(certificate_rows, max(50, MOST_CERTIFICATE_ROWS // len(counts.groups)))
    held_out = {group: _held_out_rate(counts, group, most) for group in counts.groups}
    draws = {
        "shaping": Draw("u", shaping, HALVES, weighted=True),
        "unsplit": Draw("u", unsplit, weighted=True),  # of these nothing is held out
        "held_out": Draw("u", held_out, ("holdout",)),
    }
    if for_reference:
        draws["reference"] = Draw("u", {group: _reference_rate(counts, group) for group in counts.groups}, HALVES, weighted=True)
    splits = HALVES if counts.n_shaping else ()  # of one or two rows all may be held out
    draws["bandwidth"] = Draw("u_bandwidth", dict.fromkeys(counts.real, _share_for(BANDWIDTH_ROWS, counts.n_shaping)), splits)
    with_texts = ["text"] if looked_at or for_reference else []
    columns = ["doc_id", "label", "grp", "split", "u", "u_whole", "u_bandwidth", "prior", "embedding", *with_texts]
    rows = real.sample(draws, columns)
    if sum(rows.column("bandwidth").to_pylist()) < min(BANDWIDTH_ROWS, counts.n_shaping):
        draws["bandwidth"] = replace(
            draws["bandwidth"], rates=dict.fromkeys(counts.real, 1.0)
        )  # hash numbers were uneven, once in 10^9 times
        rows = real.sample(draws, columns)
    rates = np.array([shaping.get(group, 1.0) for group in rows.column("grp").to_pylist()])
    return RealSample(rows, rows.column("prior").to_numpy() / rates, held_out, most)


def _share_for(rows: int, total: int) -> float:
    """A share of hash numbers below which there are ``rows`` at least, but for six standard deviations."""
    return min(1.0, (rows + 6 * math.sqrt(rows) + 36) / max(total, 1))


def _shaping_rate(counts: Survey, group: str) -> float:
    """For about SHAPING_ROWS; of a rare label nearly all, which then weigh less."""
    return min(1.0, max(SHAPING_ROWS / counts.n_real, RARE_SHAPING_ROWS / counts.real[group]))


def _reference_rate(counts: Survey, group: str) -> float:
    """For about REFERENCE_ROWS rows of a label."""
    return min(1.0, min(REFERENCE_ROWS, MOST_REFERENCE_ROWS / len(counts.groups)) / counts.real[group])


def _held_out_rate(counts: Survey, group: str, most: int) -> float:
    """For about ``most`` held-out rows; 0 for a group that is not split, or without any."""
    held_out = counts.effective[group]["holdout"] if counts.is_split(group) else 0.0
    return min(1.0, most / held_out) if held_out else 0.0


def draw_synthetic(synthetic: Side, counts: Survey, about: int) -> pa.Table:
    """About so many synthetic rows, with texts where there are some."""
    share = about / counts.n_synthetic
    rates = {group: min(1.0, max(share, FEWEST_SAMPLE_ROWS / counts.synthetic[group])) for group in counts.groups}
    return synthetic.sample({"taken": Draw("u_warm", rates)}, ["doc_id", "label", "grp", "prior", "embedding", "half", "text"])


def with_weight(rows: pa.Table) -> pa.Table:
    """The rows that came with a weight above 0. rows: of ``draw_synthetic``."""
    return rows.filter(pa.array(rows.column("prior").to_numpy() > 0))


def synthetic_rows(rows: pa.Table) -> SideRows:
    """The rows with the weights that they came with. rows: of ``with_weight``."""
    return SideRows(_views(rows, rows.column("prior").to_numpy()), _column(rows, "grp"), rows.column("half").to_numpy())


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
