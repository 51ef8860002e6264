"""How strongly to align: the rule for a run, and what it needs from the tables.

Three cases, unless the configuration fixes lambda: labels and enough real rows (probes choose lambda and how far to trust the
labels), labels and fewer rows (agreement by real and synthetic rows, and the smallest lambda that keeps 0.4 of the rows), no labels (MMD).
Bounded hash samples of both sides reach the driver: vectors and texts of about 4,000 real rows a half and 20,000 synthetic ones.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synalign_spark.config_align import AlignConfig
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.lambda_rule import Sample, Settings
from synalign_spark.core.probes import Labelled, LabelProbe, SharedProbes, Views, fit_label_probe, fit_shared_probes, hashed_ngrams
from synalign_spark.core.strength import AGREEMENTS, Choice, Half, Pool, choose_by_probes
from synalign_spark.errors import ConfigError
from synalign_spark.stages.align_input import Survey, by_group
from synalign_spark.stages.align_rows import in_order, logs
from synalign_spark.stages.keys import unit
from udfs.arrow import to_matrix

JUDGES = 4_000  # real rows a half
HALVES = ("fit", "validation")
FEWEST_JUDGES = 20  # real rows of a label in each half; a label with fewer takes no part in the choice
RARE_JUDGES = 500  # real rows of a label on the driver, where it has so many
MOST_SAMPLED = 5  # times warm_start_rows; so many rows are all taken: at small lambda a sample of few rows misleads
SAMPLED = 0.1  # of more rows, so that a pass over the sample costs little beside one over all
FEWEST_SAMPLE_ROWS = 1_000  # synthetic rows of each group in the solver's sample
FLOOR, FLOOR_OF_FEW = 0.1, 0.4
AGREEMENT_OF_FEW = 1.5  # with the floor: chosen on unseen real training rows of six tasks, as matching and agreement share the budget
Report = Callable[[str], None]


@dataclass(frozen=True)
class Strength:
    """The rule of a run. power: a, the exponent of the label agreement; probe: None without labels, shared with the synthetic
    rows unless probes choose; choice: what probes found."""

    settings: Settings
    power: float
    probe: LabelProbe | SharedProbes | None = None
    choice: Choice | None = None


def choose_strength(
    real: DataFrame,
    synthetic: DataFrame,
    texts: tuple[DataFrame, DataFrame],
    counts: Survey,
    means: Mapping[str, Mapping[str, Sample]],
    features: FeatureMap,
    cfg: AlignConfig,
    seed: int,
    report: Report,
) -> Strength:
    """Chooses the rule, lambda and a. real, synthetic: ``align_input``'s rows; texts: doc_id and text of both sides.

    Raises ConfigError where label agreement is asked for and there are no labels to learn it from."""
    enough = [group for group in counts.groups if min(means[group][half].count for half in HALVES) >= FEWEST_JUDGES]
    judged = [group for group in enough if counts.shares[group] > 0]
    judging = sum(means[group][half].count for group in judged for half in HALVES)
    classes = len(judged) > 1
    if not classes and isinstance(cfg.label_agreement, float) and cfg.label_agreement > 0:
        raise ConfigError(
            f"align.label_agreement is {cfg.label_agreement:g}, but it needs two labels with {2 * FEWEST_JUDGES} real rows each; set it to auto or 0"
        )
    rule, power = rule_of(cfg, classes, judging)
    if not classes or (rule not in ("probes", "ess_rule") and not power):
        report(f"strength: {rule}, without label agreement")
        return Strength(_settings(cfg, rule), 0.0)
    halves = _real_sample(real, texts[0], means, counts, judged)
    labelled = [(half.rows.x, half.rows.labels, half.rows.weight) for half in halves]
    x, labels, weight = (np.concatenate(column) for column in zip(*labelled, strict=True))
    if rule != "probes":
        probe = fit_shared_probes((x, labels, weight), *_vectors(_sampled(synthetic, counts, cfg, judged), seed))
        report(
            f"strength: {rule} with label agreement to the power of {power:g} ({judging:,.0f} real rows; probes choose from {cfg.probe_rows:,})"
        )
        return Strength(_settings(cfg, rule), power, probe)
    shares = {group: counts.shares[group] for group in judged}
    agreements = AGREEMENTS if cfg.label_agreement == "auto" else (power,)
    choice = choose_by_probes(halves, _pool(synthetic, texts[1], counts, features, cfg, seed, judged), shares, agreements)
    best = choice.best
    report(f"strength: probes took lambda {best.lam:.3g} and label agreement to the power of {best.agreement:g} among {len(choice.tried)} pairs: "
           f"accuracy {best.accuracy:.1%} on {choice.judges:,} real rows")  # fmt: skip
    return Strength(_settings(cfg, "probes", best.lam), best.agreement, fit_label_probe(x, labels, weight), choice)


def rule_of(cfg: AlignConfig, classes: bool, judging: float) -> tuple[str, float]:
    """(rule, a) by the configuration and the data. classes: whether rows are matched by two labels or more; judging: real rows
    that shape the weights."""
    given = None if cfg.label_agreement == "auto" else cfg.label_agreement
    if cfg.lam != "auto":
        rule = cfg.lam if isinstance(cfg.lam, str) else "fixed"
        return rule, (given or 0.0) if classes else 0.0
    if not classes:
        return "mmd_rule", 0.0
    if judging >= cfg.probe_rows:
        return "probes", given or 0.0
    return "ess_rule", AGREEMENT_OF_FEW if given is None else given


def _settings(cfg: AlignConfig, rule: str, lam: float = float("nan")) -> Settings:
    floor = (FLOOR_OF_FEW if rule == "ess_rule" else FLOOR) if cfg.ess_floor == "auto" else cfg.ess_floor
    fixed = lam if isinstance(cfg.lam, str) else cfg.lam
    cap = np.inf if cfg.max_weight is None else cfg.max_weight
    return Settings(rule, fixed, floor, cfg.tolerance, cfg.max_passes, cap)


def _real_sample(
    real: DataFrame, texts: DataFrame, means: Mapping[str, Mapping[str, Sample]], counts: Survey, judged: list[str]
) -> tuple[Half, Half]:
    """Both halves of the real rows: means of all rows, vectors and texts of about JUDGES rows each, a rare label's rows nearly all,
    which then weigh less."""
    rows = sum(counts.real.values())
    rates = {group: min(1.0, max(2.5 * JUDGES / rows, RARE_JUDGES / counts.real[group])) for group in judged}
    usable = (F.col("split") != "holdout") & (F.col("prior") > 0) & F.col("grp").isin(judged)
    kept = real.where(usable).where(F.col("u") < by_group(rates))
    mass = (F.col("prior") / by_group(rates)).alias("weight")
    table = F.broadcast(kept.select("doc_id", "label", "split", mass, "embedding")).join(texts, "doc_id").toArrow()  # about 2 x JUDGES rows
    table = table.sort_by("doc_id")
    split = np.asarray(table.column("split").to_pylist())
    found = []
    for name in HALVES:
        part = table.filter(pa.array(split == name))
        found.append(Half({group: means[group][name] for group in judged}, _views(part, to_matrix(part.column("embedding")), "weight")))
    return found[0], found[1]


def _pool(
    synthetic: DataFrame, texts: DataFrame, counts: Survey, features: FeatureMap, cfg: AlignConfig, seed: int, judged: list[str]
) -> Pool:
    """A sample of the synthetic rows with their texts, by group and id."""
    kept = _sampled(synthetic, counts, cfg, judged)
    draw = unit(seed, "align.probe0", "doc_id").alias("draw")
    table = F.broadcast(kept.select("doc_id", "label", "grp", "prior", "embedding", draw)).join(texts, "doc_id").toArrow()
    rows, group, x = in_order(table)
    return Pool(_views(rows, x, "prior"), group, features(x), logs(rows, "prior"), rows.column("draw").to_numpy())


def _sampled(synthetic: DataFrame, counts: Survey, cfg: AlignConfig, judged: list[str]) -> DataFrame:
    """About ``warm_start_rows`` synthetic rows of the labels that are judged."""
    share = cfg.warm_start_rows / sum(counts.synthetic.values())
    rates = {group: min(1.0, max(share, FEWEST_SAMPLE_ROWS / counts.synthetic[group])) for group in judged}
    return synthetic.where(F.col("grp").isin(judged)).where(F.col("u_warm") < by_group(rates))


def _vectors(rows: DataFrame, seed: int) -> tuple[Labelled, npt.NDArray[np.bool_]]:
    """A sample of the synthetic rows, but those pinned out, by id, and the half that each is in."""
    table = rows.where(F.col("prior") > 0).select("doc_id", "label", "prior", "embedding", _half(seed).alias("half")).toArrow()
    table = table.sort_by("doc_id")
    labels, half = (np.asarray(table.column(name).to_pylist(), dtype=kind) for name, kind in (("label", object), ("half", bool)))
    return (to_matrix(table.column("embedding")), labels, table.column("prior").to_numpy()), half


def _half(seed: int) -> Column:
    """Which shared probe a synthetic row trains: the other one judges it."""
    return unit(seed, "align.probe_half", "doc_id") < 0.5


def row_share(counts: Survey, group: str, cfg: AlignConfig) -> float:
    """Share of a group's synthetic rows in the solver's sample."""
    mine, total = counts.synthetic[group], sum(counts.synthetic.values())
    return min(1.0, max(sample_rows(total, cfg.warm_start_rows) / total, FEWEST_SAMPLE_ROWS / mine))


def sample_rows(total: int, fewest: int) -> int:
    """Rows of the solver's sample of ``total``. fewest: align.warm_start_rows."""
    most = MOST_SAMPLED * fewest
    return total if total <= most else min(max(fewest, int(SAMPLED * total)), most)


def _views(table: pa.Table, x: npt.NDArray[np.float32], weight: str) -> Views:
    labels = np.asarray(table.column("label").to_pylist(), dtype=object)
    return Views(x, hashed_ngrams(table.column("text").to_pylist()), labels, table.column(weight).to_numpy())


def with_agreement(rows: DataFrame, strength: Strength, seed: int) -> DataFrame:
    """The synthetic rows with agreement = p(label | row) and base = prior * agreement^a; unchanged without a probe."""
    if strength.probe is None:
        return rows
    job = partial(_agreement_partition, probe=strength.probe, power=strength.power)
    return rows.withColumn("half", _half(seed)).mapInArrow(job, rows.schema)


def _agreement_partition(batches: Iterable[pa.RecordBatch], probe: LabelProbe | SharedProbes, power: float) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        labels = np.asarray(batch.column("label").to_pylist(), dtype=object)
        x = to_matrix(batch.column("embedding"))
        half = batch.column("half").to_numpy(zero_copy_only=False)
        agreement = probe.agreement(x, labels, half) if isinstance(probe, SharedProbes) else probe.agreement(x, labels)
        base = batch.column("prior").to_numpy(zero_copy_only=False) * agreement**power
        changed = {"agreement": pa.array(agreement), "base": pa.array(base)}
        names = [name for name in batch.schema.names if name != "half"]
        yield pa.RecordBatch.from_arrays([changed.get(name, batch.column(name)) for name in names], names=names)
