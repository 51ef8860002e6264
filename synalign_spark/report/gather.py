"""Collects the findings of a run: reads its tables, measures, samples, and makes the downstream check."""

import json
import re
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.compat import to_arrow
from synalign_spark.config import Config
from synalign_spark.config.secrets import public_address, public_settings
from synalign_spark.evaluation.result import in_order
from synalign_spark.report import downstream, measures
from synalign_spark.report.downstream import LabelledRows
from synalign_spark.report.findings import DownstreamCheck, Findings, MapPoints, Missing, Row
from synalign_spark.report.lineage import Fetch, with_lineage
from synalign_spark.report.map_rows import Reader, with_rows
from synalign_spark.report.projection import principal_plane
from synalign_spark.spark.holdout import held_out
from synalign_spark.spark.resample import used_mixing_weight
from synalign_spark.storage import tables
from synalign_spark.storage.tables import Table
from synalign_spark.udfs.arrow import to_matrix

CHECK_ROWS = 20_000  # a side; 31 MB of 384 floats
EXAMPLES = 5
MISSING_CLUSTERS = 10
_USERINFO = re.compile(r"://[^/@\s]+@")
_QUERY = re.compile(r"(://[^\s?#'\"]+)[?#][^\s'\"]+")


def gather(lake: Reader, cfg: Config, steps: dict[str, Row]) -> Findings:
    """Findings of the run that ``lake`` shows. steps: the entries of the run's manifest.

    Tables of stages that were not run leave their part empty. Raises LakeError where corpus,
    embeddings or synthetic rows are missing."""
    weights = _maybe(lake, tables.WEIGHTS)
    labels = measures.label_shares(lake.read(tables.CORPUS), lake.read(tables.SYNTHETIC), weights)
    n_real, n_synthetic = sum(row.real for row in labels), sum(row.synthetic for row in labels)
    real = _real_sample(lake, cfg, n_real)
    synthetic = _synthetic_sample(lake, cfg, n_synthetic, weights)
    certificate = _parameters(lake, tables.CERTIFICATE, ("label",))
    check, skipped = checked_downstream(cfg, real, synthetic, certificate)
    trace = _parameters(lake, tables.SOLVER_TRACE, ("kind", "label", "step"))
    fetch = spark_fetch(lake)
    missing = measures.missing(lake.read(tables.WITNESS), MISSING_CLUSTERS) if lake.has_table(tables.WITNESS) else None
    return Findings(
        run_id=cfg.run.id,
        certificate=certificate,
        labels=labels,
        weights=measures.weight_spread(weights) if weights is not None else None,
        points=_points(real, synthetic, n_synthetic, lake, cfg, missing),
        coverage=_parameters(lake, tables.SELECTION_TRACE, ("label", "round", "set_rank")),
        solver=[row for row in trace if row["kind"] == "path"],
        mixing_weights=[row for row in trace if row["kind"] == "mixing_weight"],
        generation=measures.generation(_maybe(lake, tables.CALLS), _maybe(lake, tables.REFUSALS), n_synthetic),
        rejects=measures.rejected(lake.read(tables.REJECTS)) if lake.has_table(tables.REJECTS) else [],
        downstream=check,
        downstream_skipped=skipped,
        highest=with_lineage(measures.heaviest(weights, EXAMPLES), fetch) if weights is not None else [],
        lowest=with_lineage(measures.lightest(weights, EXAMPLES), fetch) if weights is not None else [],
        steps=steps,
        config=shown_config(cfg),
        missing=missing,
        evaluation=_evaluation(lake) if "evaluate" in steps else {},
        rounds=_parameters(lake, tables.ROUNDS, ("round",)) if "rounds" in steps else [],
    )


def _evaluation(lake: Reader) -> dict[str, dict[str, Row]]:
    """Rows of the evaluation by figure, in the order of its groups, and kind of rows."""
    found: dict[str, dict[str, Row]] = {}
    for row in _parameters(lake, tables.EVALUATION, ("figure",)):
        found.setdefault(row["figure"], {})[row["kind"]] = row
    return {name: found[name] for name in in_order(found)}


def spark_fetch(lake: Reader) -> Fetch:
    """Looks rows up by key through Spark."""

    def fetch(table: Table, key: str, values: list[str], columns: list[str]) -> list[Row]:
        if not lake.has_table(table):
            return []
        found = lake.read(table).where(F.col(key).isin(values)).select(*columns)
        rows: list[Row] = to_arrow(found).to_pylist(maps_as_pydicts="lossy")
        return rows

    return fetch


def shown_config(cfg: Config) -> str:
    """The configuration as YAML. Values of Spark settings that look like secrets, and logins and queries in addresses, are hidden."""
    dumped = json.loads(cfg.model_dump_json(by_alias=True))
    dumped["spark"]["conf"] = public_settings(cfg.spark.conf)
    if address := dumped["generate"]["llm"]["base_url"]:
        dumped["generate"]["llm"]["base_url"] = public_address(address)
    for one in [*(dumped["generate"]["llms"] or []), *filter(None, [dumped["embed"]["endpoint"]])]:
        one["base_url"] = one["base_url"] and public_address(one["base_url"])
    text = yaml.safe_dump(dumped, sort_keys=False, allow_unicode=True, width=110)
    return _QUERY.sub(r"\1?(hidden)", _USERINFO.sub("://(hidden)@", text))


def _maybe(lake: Reader, table: Table) -> DataFrame | None:
    return lake.read(table) if lake.has_table(table) else None


def _parameters(lake: Reader, table: Table, order: tuple[str, ...]) -> list[Row]:
    """A table of parameter size (one row a label, a demonstration set, a point of the path), in order; nulls last."""
    rows = measures.collected(lake.read(table)) if lake.has_table(table) else []
    return sorted(rows, key=lambda row: tuple((row[name] is None, row[name] or 0 if row[name] is None else row[name]) for name in order))


def _real_sample(lake: Reader, cfg: Config, total: int) -> pa.Table:
    """doc_id, label, embedding, u, held_out of real rows, by rising hash."""
    n = max(cfg.report.map_rows, 2 * CHECK_ROWS if cfg.report.downstream else 0)
    rows = lake.read(tables.EMBEDDINGS, origin="real").select("doc_id", "label", "embedding")
    sample = measures.hash_sample(rows, n, total, cfg.run.seed, "report")
    return _ordered(sample.withColumn("held_out", held_out(cfg.run.seed, cfg.align.holdout)))


def _synthetic_sample(lake: Reader, cfg: Config, total: int, weights: DataFrame | None) -> pa.Table:
    """doc_id, label, embedding, u, weight of synthetic rows, by rising hash; weight is uniform before align."""
    n = max(cfg.report.map_rows, CHECK_ROWS if cfg.report.downstream else 0)
    rows = lake.read(tables.EMBEDDINGS, origin="synthetic").select("doc_id", "label", "embedding")
    sample = measures.hash_sample(rows, n, total, cfg.run.seed, "report")
    if weights is not None:
        return _ordered(sample.join(weights.select("doc_id", "weight"), "doc_id"))
    return _ordered(sample.withColumn("weight", F.lit(1.0 / max(total, 1))))


def _ordered(sample: DataFrame) -> pa.Table:
    """The sample on the driver, by rising hash: its first m rows are a hash sample too."""
    return to_arrow(sample).sort_by([("u", "ascending"), ("doc_id", "ascending")])


def _points(real: pa.Table, synthetic: pa.Table, n_synthetic: int, lake: Reader, cfg: Config, missing: Missing | None) -> MapPoints | None:
    real, synthetic = real.slice(0, cfg.report.map_rows), synthetic.slice(0, cfg.report.map_rows)
    if not len(real) or not len(synthetic):
        return None
    clusters = _lacking(lake, missing)
    vectors = np.concatenate([to_matrix(synthetic["embedding"]), *(np.array([row["centroid"]]) for row in clusters)])
    xy_real, xy, explained = principal_plane(to_matrix(real["embedding"]), vectors)
    relative = synthetic["weight"].to_numpy() * n_synthetic  # (m,), 1 is uniform
    places = list(zip([row["cluster_id"] for row in clusters], xy[len(synthetic) :], strict=True))
    points = MapPoints(
        xy_real, real["label"].to_pylist(), xy[: len(synthetic)], synthetic["label"].to_pylist(), relative, explained, lacking=places
    )
    return points if cfg.report.map_texts is False else with_rows(points, real, synthetic, lake, cfg.run.seed)


def _lacking(lake: Reader, missing: Missing | None) -> list[Row]:
    """cluster_id and centroid of the clusters that lack most, few."""
    if missing is None or not lake.has_table(tables.CENTROIDS):
        return []
    ids = sorted({row["cluster_id"] for row in missing.clusters})
    found = measures.collected(lake.read(tables.CENTROIDS).where(F.col("cluster_id").isin(ids)).select("cluster_id", "centroid"))
    return sorted(found, key=lambda row: row["cluster_id"])


def checked_downstream(cfg: Config, real: pa.Table, synthetic: pa.Table, certificate: list[Row]) -> tuple[DownstreamCheck | None, str]:
    """The downstream check, or None and why it was left out."""
    if not cfg.report.downstream:
        return None, "report.downstream is off"
    if not certificate:
        return None, "there are no weights yet"
    real, synthetic = _labelled(real), _labelled(synthetic)
    labels = labels_with_holdout(certificate)
    has_holdout = [None in labels or label in labels for label in real["label"].to_pylist()]
    held = np.asarray(real["held_out"].to_pylist(), dtype=bool) & np.asarray(has_holdout, dtype=bool)
    fit = _rows(real.filter(pa.array(~held)).slice(0, CHECK_ROWS), None)
    holdout = _rows(real.filter(pa.array(held)).slice(0, CHECK_ROWS), None)
    written = _rows(synthetic.slice(0, CHECK_ROWS), synthetic["weight"].slice(0, CHECK_ROWS))
    skipped = downstream.reason_to_skip(fit, holdout, written)
    mixing_weight = used_mixing_weight(certificate[0]["mixing_weight"], cfg.align.mixing_weight, cfg.resample.rows)
    return (None, skipped) if skipped else (downstream.downstream_check(fit, holdout, written, mixing_weight, cfg.align.label_shares), "")


def _labelled(rows: pa.Table) -> pa.Table:
    return rows.filter(rows["label"].is_valid())


def _rows(rows: pa.Table, weight: Any) -> LabelledRows:
    ones = np.ones(len(rows))
    return LabelledRows(
        to_matrix(rows["embedding"]), np.asarray(rows["label"].to_pylist(), dtype=str), ones if weight is None else weight.to_numpy()
    )


def labels_with_holdout(certificate: list[Row]) -> set[str | None]:
    """Labels that have held-out rows (None: all rows are one group); a label of few real rows has none, since all of them
    shaped its weights."""
    per_label = [row for row in certificate if row["label"] is not None]
    return {row["label"] for row in per_label or certificate if row["n_real_holdout"]}
