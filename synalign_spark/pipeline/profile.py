"""What a corpus is like, before anything is paid for: the first step of `run` and of `plan`, and the command `profile`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import SparkSession

from synalign_spark.config import Config
from synalign_spark.core.text import near_names
from synalign_spark.errors import ConfigError, DataError, InstallationError
from synalign_spark.spark.ingest import Ingested, ingest
from synalign_spark.spark.profile import measure, sample_texts
from synalign_spark.spark.source_layout import Layout, layout_of
from synalign_spark.spark.sources import read_source
from synalign_spark.udfs.tokens import read_by

UNUSABLE = ("malformed", "bad_encoding", "wrong_type", "bad_weight", "null_text", "empty", "null_label")
NOTED = 0.01  # the share from which something is said
FEW_EFFECTIVE = 0.1  # of the rows: fewer of them bear nearly all weight
LANGUAGES_SHOWN = 5
MULTILINGUAL = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
EMBEDDER_FIX = f"set embed.model to a multilingual one, such as {MULTILINGUAL}"

Profile = dict[str, Any]  # plain JSON values
Finding = tuple[str, float, str, str]  # key of the threshold, share, what it is a share of, fix


def profile_source(cfg: Config, spark: SparkSession) -> Profile:
    """The profile of the configured source; nothing is written. Raises DataError for a source that cannot be used at all."""
    layout = layout_of(cfg.source)
    with ingest(read_source(spark, cfg.source, layout=layout), cfg.source, cfg.ingest, origin="real", layout=layout) as found:
        return profile_of(cfg, found, layout)


def profile_of(cfg: Config, found: Ingested, layout: Layout | None) -> Profile:
    """The profile of validated rows. layout: of the files that they came from."""
    texts = sample_texts(found.accepted, cfg.profile.rows_looked_at)
    near = near_names(found.labels)
    read, unread = _embedder(cfg, texts)
    measures, bytes_a_char = measure(found.accepted)
    profile: Profile = {
        "rows": {"read": found.n_read, "accepted": found.n_accepted, "rejected": found.reasons},
        "bytes": {"read": found.bytes_read, "lost": found.bytes_lost, "a_character": bytes_a_char},
        "read_as": {"format": layout.kind, **layout.told} if layout else {"format": "table"},
        "types": layout.types if layout else {},
        "labels": found.labels,
        "near_labels": near,
        **measures,
        "languages": languages(texts),
        "embedder": read,
    }
    passed = [finding for finding in _findings(cfg, profile, texts) if finding[1] > NOTED]
    odd = [*_odd_weights(profile["weights"], found.n_accepted), *(limit_note(cfg, read["max_tokens"]) if read else unread)]
    profile["notes"] = [*found.notes, *_outside_of_lengths(cfg, profile["chars"]), *odd, *map(in_words, passed)]
    profile["stops"] = [*_without_weight(profile["weights"]), *stops(cfg, passed)]
    return profile


def refuse(profile: Mapping[str, Any]) -> None:
    """Raises DataError where a profile is above a threshold."""
    if profile["stops"]:
        raise DataError(
            "\n".join(profile["stops"])
            + "\nlook at all of it: synalign profile; or raise the key named, where the corpus is meant to be so"
        )


def languages(texts: Sequence[str]) -> dict[str, float]:
    """The share of texts by the likeliest language, the most frequent first."""
    from synalign_spark.generation.gates.language import likeliest

    counts = Counter(code for text in texts if (code := likeliest(text)) is not None)
    return {code: round(n / len(texts), 4) for code, n in counts.most_common(LANGUAGES_SHOWN)}


def embedder_on(cfg: Config, texts: Sequence[str]) -> dict[str, Any] | None:
    """How the embedder reads texts, in shares; None where it does not tell, or embeds none."""
    found = read_by(cfg.embed, texts) if cfg.embeds else None
    return None if found is None else {"model": cfg.embed.model, **{key: round(value, 4) for key, value in vars(found).items()}}


def _embedder(cfg: Config, texts: Sequence[str]) -> tuple[dict[str, Any] | None, list[str]]:
    """``embedder_on``, or a note why there is none: a machine that only ingests may lack the model."""
    try:
        return embedder_on(cfg, texts), []
    except (ConfigError, InstallationError) as err:
        return None, [f"how the embedder reads the texts is not known: {err}"]


def embedder_findings(read: Mapping[str, Any] | None, n_tokens: int) -> list[Finding]:
    """What may be wrong with an embedder for its texts. n_tokens: embed.max_tokens."""
    if read is None:
        return []
    longer = f"cut or split them, or name an embedder that reads more than {read['max_tokens']} tokens"
    if read["max_tokens"] == n_tokens:
        longer = "raise embed.max_tokens, where the model reads more, or cut or split them"
    model = repr(read["model"])
    return [
        ("max_unknown_tokens", read.get("unknown_tokens", 0.0), f"of the tokens are unknown to {model}", EMBEDDER_FIX),
        ("max_spelled_out", read.get("spelled_out", 0.0), f"of the texts are taken letter by letter by {model}", EMBEDDER_FIX),
        ("max_identical", read["identical"], f"of the texts are the same to {model} as another", EMBEDDER_FIX),
        ("max_cut", read.get("cut", 0.0), f"of the texts are longer than the {read['max_tokens']} tokens that are read", longer),
    ]


def limit_note(cfg: Config, used: int) -> list[str]:
    """A note where the model reads less than is configured."""
    if used >= cfg.embed.max_tokens:
        return []
    return [f"embed.max_tokens is {cfg.embed.max_tokens}, and {cfg.embed.model!r} reads {used}: texts are cut at {used}"]


def in_words(finding: Finding) -> str:
    """A finding as people read it.

    >>> in_words(("max_cut", 0.25, "of the texts are cut", "cut them yourself"))
    '25.0 % of the texts are cut; cut them yourself'
    """
    _, share, words, fix = finding
    return f"{100 * share:.1f} % {words}; {fix}"


def stops(cfg: Config, findings: Sequence[Finding]) -> list[str]:
    """The findings above their thresholds, with the key of each."""
    limits = {key: getattr(cfg.profile, key) for key, *_ in findings}
    return [
        f"profile.{one[0]}: {in_words(one)} (the threshold is {100 * limits[one[0]]:g} %)" for one in findings if one[1] > limits[one[0]]
    ]


def _findings(cfg: Config, profile: Profile, texts: Sequence[str]) -> list[Finding]:
    rows, labels = profile["rows"], profile["labels"]
    unusable = {reason: rows["rejected"][reason] for reason in UNUSABLE if rows["rejected"].get(reason)}
    named = ", ".join(f"{reason} {n}" for reason, n in unusable.items())
    beside = {name: max(group, key=lambda one: labels[one]) for group in profile["near_labels"] for name in group}
    renamed = {name: kept for name, kept in beside.items() if name != kept}
    conflicts = rows["rejected"].get("label_conflict", 0)
    return [
        (
            "max_unusable",
            sum(unusable.values()) / rows["read"],
            f"of the rows cannot be used ({named})",
            "mend them, or leave them out with source.where",
        ),
        (
            "max_near_labels",
            sum(labels[name] for name in renamed) / rows["accepted"],
            "of the rows have a label that is nearly another",
            f"set source.rename_labels to {dict(list(renamed.items())[:5])}, or mend the labels",
        ),
        ("max_conflicts", conflicts / rows["read"], "of the rows have a text that other rows have under another label", "mend the labels"),
        *_other_language(cfg, texts),
        *embedder_findings(profile["embedder"], cfg.embed.max_tokens),
    ]


def _other_language(cfg: Config, texts: Sequence[str]) -> list[Finding]:
    """The share of rows that the language gate would refuse."""
    if cfg.generate.strategy == "imported":
        return []
    from synalign_spark.generation.gates.language import checks

    find = [check.find for check in checks(cfg.generate.language)]
    share = sum(any(one(text, None) is not None for one in find) for text in texts) / max(len(texts), 1)
    return [
        (
            "max_other_language",
            share,
            f"of the rows are not in {cfg.generate.language}",
            "set generate.language to the language of the corpus",
        )
    ]


def _without_weight(weights: Mapping[str, Any] | None) -> list[str]:
    """No model is taught, and no synthetic row matched, by rows of weight 0: that is found here, before any is paid."""
    if weights is None or not weights["labels_of_zero"]:
        return []
    of = ", ".join("all rows" if label is None else f"label {label}" for label in weights["labels_of_zero"][:10])
    return [f"source.weight_column: every weight is 0 for {of}; give some rows a weight above 0, or leave them out by source.where"]


def _outside_of_lengths(cfg: Config, chars: Mapping[str, int | None]) -> list[str]:
    """Limits of generated rows that half of the real ones break: rows like them would be paid for and refused."""
    limits, median = cfg.generate, chars.get("median")
    if median is None or limits.strategy == "imported" or limits.min_chars <= median <= limits.max_chars:
        return []
    key, side = ("min_chars", "shorter") if median < limits.min_chars else ("max_chars", "longer")
    return [
        f"generate.{key} is {getattr(limits, key):,}, and half of the real texts are {side} (their median is {median:,} characters): rows like them would "
        "be refused after they are paid for; set it so that they pass"
    ]


def _odd_weights(weights: Mapping[str, Any] | None, n_rows: int) -> list[str]:
    if weights is None or weights["effective_rows"] is None or weights["effective_rows"] >= FEW_EFFECTIVE * n_rows:
        return []
    return [
        f"the weights are those of {weights['effective_rows']:.1f} rows of {n_rows}: a few rows bear nearly all of it; is source.weight_column a weight?"
    ]
