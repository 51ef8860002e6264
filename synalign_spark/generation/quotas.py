"""How many rows each label gets."""

from collections.abc import Mapping

from synalign_spark.errors import ConfigError, DataError

Label = str | None


def label_shares(counts: Mapping[Label, int], wanted: Mapping[str, float] | None, shown: Mapping[Label, int] | None) -> dict[Label, float]:
    """Share of each label, summing to 1: as configured, else as in the corpus.

    counts: corpus rows a label; shown: demonstration sets a label, for strategies that show demonstrations, else None.
    Labels without a demonstration set are left out of the corpus's shares. Raises ConfigError for a configured label that
    the corpus does not have or that nothing can be shown for, DataError when no label is left."""
    usable = {label: n for label, n in counts.items() if n > 0 and (shown is None or shown.get(label, 0) > 0)}
    if not usable:
        raise DataError(
            "generate: the demonstrations table names no label of the corpus; run the select stage again (more select.demonstration_sets)"
        )
    if wanted is None:
        total = sum(usable.values())
        return {label: usable[label] / total for label in sorted(usable, key=str)}
    unknown = sorted(set(wanted) - {str(label) for label in usable})
    if unknown:
        known = ", ".join(sorted(map(str, usable)))
        raise ConfigError(f"generate.label_shares names {unknown}, which have no rows or no demonstrations; labels are: {known}")
    total_share = sum(wanted.values())
    if min(wanted.values()) < 0 or total_share <= 0:
        raise ConfigError(f"generate.label_shares must be shares >= 0 with a sum above 0, got {dict(wanted)}")
    return {label: wanted[label] / total_share for label in sorted(wanted)}


def quotas(shares: Mapping[Label, float], rows: int) -> dict[Label, int]:
    """Whole rows per label, by the largest remainder (ties to the smaller label); they sum to ``rows``."""
    exact = {label: share * rows for label, share in shares.items()}
    whole = {label: int(value) for label, value in exact.items()}
    by_remainder = sorted(exact, key=lambda label: (whole[label] - exact[label], str(label)))
    for label in by_remainder[: rows - sum(whole.values())]:
        whole[label] += 1
    return whole
