"""How strongly to align: the rule for a run, and what it needs from the tables.

Three cases, unless the configuration fixes lambda: labels and enough real rows (probes choose lambda and how far to trust the
labels), labels and fewer rows (agreement by real and synthetic rows, the likeness of words, and the smallest lambda that keeps 0.4 of
the rows), no labels (MMD).
Bounded hash samples of both sides reach the driver: vectors and texts of about 4,000 real rows a half and 20,000 synthetic ones.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synalign_spark.config_align import AlignConfig
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.lambda_rule import Sample, Settings
from synalign_spark.core.likeness import Texts, fit_likeness, joined
from synalign_spark.core.mass import best_mass, masses, usual_mass
from synalign_spark.core.probes import Labelled, Views, fit_label_probe, fit_shared_probes, hashed_ngrams
from synalign_spark.core.strength import AGREEMENTS, LIKENESSES, Choice, Half, Pool, choose_by_probes
from synalign_spark.errors import ConfigError
from synalign_spark.stages.align_base import Base, half_column
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
AGREEMENT_OF_FEW, LIKENESS_OF_FEW = 1.5, 1.0  # with the floor: chosen on unseen real training rows of seven tasks
Report = Callable[[str], None]


@dataclass(frozen=True)
class Strength:
    """The rule of a run. choice: what probes found; mass: of the synthetic rows beside real ones, None without labels."""

    settings: Settings
    base: Base
    choice: Choice | None = None
    mass: float | None = None


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
    """Chooses the rule, lambda and the base measure. real, synthetic: ``align_input``'s rows; texts: doc_id and text of both sides.

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
    if rule == "probes":
        return _by_probes(real, synthetic, texts, counts, means, features, cfg, power, seed, judged, report)
    base = _words(real, synthetic, texts, counts, judged, cfg, rule, seed)
    said = f" and word likeness to the power of {base.likeness_power:g}" if base.likeness else ""
    if not classes or (rule != "ess_rule" and not power):
        report(f"strength: {rule}, without label agreement{said}")
        return Strength(_settings(cfg, rule), base, mass=_mass(cfg, classes, counts))
    labelled = _labelled(_real_sample(real, texts[0], means, counts, judged))
    probe = fit_shared_probes(labelled, *_vectors(_sampled(synthetic, counts, cfg, judged), seed))
    report(f"strength: {rule} with label agreement to the power of {power:g}{said} ({judging:,.0f} real rows; "
           f"probes choose from {cfg.probe_rows:,})")  # fmt: skip
    return Strength(_settings(cfg, rule), replace(base, power=power, probe=probe), mass=_mass(cfg, classes, counts))


def _by_probes(
    real: DataFrame, synthetic: DataFrame, texts: tuple[DataFrame, DataFrame], counts: Survey, means: Mapping[str, Mapping[str, Sample]],
    features: FeatureMap, cfg: AlignConfig, power: float, seed: int, judged: list[str], report: Report,
) -> Strength:  # fmt: skip
    """The strength that probes choose. power: a, where it is given."""
    halves, pool = _real_sample(real, texts[0], means, counts, judged), _pool(synthetic, texts[1], counts, features, cfg, seed, judged)
    agreements = AGREEMENTS if cfg.label_agreement == "auto" else (power,)
    likenesses = LIKENESSES if cfg.word_likeness == "auto" else (cfg.word_likeness,)
    shares = {group: counts.shares[group] for group in judged}
    tried = masses(sum(counts.synthetic.values())) if cfg.synthetic_mass == "auto" else sorted({0.0, cfg.synthetic_mass})
    choice = choose_by_probes(halves, pool, shares, agreements, likenesses=likenesses, masses=tried)
    best = choice.best
    report(f"strength: probes took lambda {best.lam:.3g}, label agreement to the power of {best.agreement:g} and word likeness to the power "
           f"of {best.likeness:g} among {len(choice.tried)} candidates: accuracy {best.accuracy:.1%} on {choice.judges:,} real rows")  # fmt: skip
    likeness = fit_likeness(joined([half.texts for half in halves]), pool.texts, judged) if best.likeness else None
    base = Base(best.agreement, fit_label_probe(*_labelled(halves)), likeness, best.likeness if likeness else 0.0)
    mass = best_mass(choice.beside, choice.judges).mass if cfg.synthetic_mass == "auto" else cfg.synthetic_mass
    return Strength(_settings(cfg, "probes", best.lam), base, choice, mass)


def _mass(cfg: AlignConfig, classes: bool, counts: Survey) -> float | None:
    """The mass that is given, or where nothing judges it the usual one."""
    if cfg.synthetic_mass != "auto":
        return cfg.synthetic_mass
    return usual_mass(sum(counts.synthetic.values())) if classes else None


def _labelled(halves: tuple[Half, Half]) -> Labelled:
    """Embeddings, labels and weights of both halves."""
    x, labels, weight = zip(*((half.rows.x, half.rows.labels, half.rows.weight) for half in halves), strict=True)
    return np.concatenate(x), np.concatenate(labels), np.concatenate(weight)


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


def _words(
    real: DataFrame, synthetic: DataFrame, texts: tuple[DataFrame, DataFrame], counts: Survey, judged: list[str], cfg: AlignConfig,
    rule: str, seed: int,
) -> Base:  # fmt: skip
    """The part of the base measure that words have, by a sample of both sides."""
    power = (LIKENESS_OF_FEW if rule == "ess_rule" else 0.0) if cfg.word_likeness == "auto" else cfg.word_likeness
    if not power or not judged:
        return Base()
    likeness = fit_likeness(
        _texts(*_judging_rows(real, counts, judged), texts[0], seed),
        _texts(_sampled(synthetic, counts, cfg, judged), F.col("prior"), texts[1], seed),
        judged,
    )
    return Base(likeness=likeness, likeness_power=power if likeness else 0.0)


def _texts(rows: DataFrame, weight: Column, texts: DataFrame, seed: int) -> Texts:
    """Words of a sample, by id."""
    kept = F.broadcast(rows.select("doc_id", "grp", weight.alias("weight"), half_column(seed).alias("half")))
    table = kept.join(texts, "doc_id").toArrow().sort_by("doc_id")
    group, half = (np.asarray(table.column(name).to_pylist(), dtype=kind) for name, kind in (("grp", object), ("half", bool)))
    return Texts(hashed_ngrams(table.column("text").to_pylist()), group, table.column("weight").to_numpy(), half)


def _settings(cfg: AlignConfig, rule: str, lam: float = float("nan")) -> Settings:
    floor = (FLOOR_OF_FEW if rule == "ess_rule" else FLOOR) if cfg.ess_floor == "auto" else cfg.ess_floor
    fixed = lam if isinstance(cfg.lam, str) else cfg.lam
    cap = np.inf if cfg.max_weight is None else cfg.max_weight
    return Settings(rule, fixed, floor, cfg.tolerance, cfg.max_passes, cap)


def _real_sample(
    real: DataFrame, texts: DataFrame, means: Mapping[str, Mapping[str, Sample]], counts: Survey, judged: list[str]
) -> tuple[Half, Half]:
    """Both halves of the real rows: means of all rows, vectors and texts of a sample."""
    kept, mass = _judging_rows(real, counts, judged)
    columns = kept.select("doc_id", "label", "split", mass.alias("weight"), "embedding")
    table = F.broadcast(columns).join(texts, "doc_id").toArrow()  # about 2 x JUDGES rows
    table = table.sort_by("doc_id")
    split = np.asarray(table.column("split").to_pylist())
    found = []
    for name in HALVES:
        part = table.filter(pa.array(split == name))
        found.append(Half({group: means[group][name] for group in judged}, _views(part, to_matrix(part.column("embedding")), "weight")))
    return found[0], found[1]


def _judging_rows(real: DataFrame, counts: Survey, judged: list[str]) -> tuple[DataFrame, Column]:
    """About JUDGES real rows of each half and the weight of each: a rare label's rows nearly all, which then weigh less."""
    rows = sum(counts.real.values())
    rates = {group: min(1.0, max(2.5 * JUDGES / rows, RARE_JUDGES / counts.real[group])) for group in judged}
    usable = (F.col("split") != "holdout") & (F.col("prior") > 0) & F.col("grp").isin(judged)
    return real.where(usable).where(F.col("u") < by_group(rates)), F.col("prior") / by_group(rates)


def _pool(
    synthetic: DataFrame, texts: DataFrame, counts: Survey, features: FeatureMap, cfg: AlignConfig, seed: int, judged: list[str]
) -> Pool:
    """A sample of the synthetic rows with their texts, by group and id."""
    kept = _sampled(synthetic, counts, cfg, judged)
    draw = unit(seed, "align.probe0", "doc_id").alias("draw")
    sample = kept.select("doc_id", "label", "grp", "prior", "embedding", draw, half_column(seed).alias("half"))
    rows, group, x = in_order(F.broadcast(sample).join(texts, "doc_id").toArrow())
    draws, half = rows.column("draw").to_numpy(), rows.column("half").to_numpy(zero_copy_only=False)
    return Pool(_views(rows, x, "prior"), group, features(x), logs(rows, "prior"), draws, half)


def _sampled(synthetic: DataFrame, counts: Survey, cfg: AlignConfig, judged: list[str]) -> DataFrame:
    """About ``warm_start_rows`` synthetic rows of the labels that are judged."""
    share = cfg.warm_start_rows / sum(counts.synthetic.values())
    rates = {group: min(1.0, max(share, FEWEST_SAMPLE_ROWS / counts.synthetic[group])) for group in judged}
    return synthetic.where(F.col("grp").isin(judged)).where(F.col("u_warm") < by_group(rates))


def _vectors(rows: DataFrame, seed: int) -> tuple[Labelled, npt.NDArray[np.bool_]]:
    """A sample of the synthetic rows, but those pinned out, by id, and the half that each is in."""
    table = rows.where(F.col("prior") > 0).select("doc_id", "label", "prior", "embedding", half_column(seed).alias("half")).toArrow()
    table = table.sort_by("doc_id")
    labels, half = (np.asarray(table.column(name).to_pylist(), dtype=kind) for name, kind in (("label", object), ("half", bool)))
    return (to_matrix(table.column("embedding")), labels, table.column("prior").to_numpy()), half


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
