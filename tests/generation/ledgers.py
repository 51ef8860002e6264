"""What tests ask of a ledger."""

from synalign_spark.generation.calls import Answer
from synalign_spark.generation.stored import StoredAnswers


def read_ledger(folder: str) -> dict[str, Answer]:
    """All stored answers by request id."""
    with StoredAnswers(folder) as found:
        return dict(found)
