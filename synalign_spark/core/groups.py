"""The group that a row is matched in, as one text: '=' and its label, or '' for all rows together.

A text and not an optional one, so that a map in Spark may have it as a key and no label can be taken for "none"."""

ALL = ""
WEIGHT_STEPS = 2.0**20  # weights of the real rows are added up as whole multiples of 2^-20: no order of the sum shows


def group_of(label: str | None) -> str:
    """The group of a label. ``group_of("good")`` is "=good"; of None it is the group of all rows."""
    return ALL if label is None else f"={label}"


def label_of(group: str) -> str | None:
    """The label of a group; None for the group of all rows."""
    return group[1:] if group else None
