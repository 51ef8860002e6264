"""The table contract of the closed loop."""

from synalign_spark.storage.contracts import Column, Table

ROUNDS = Table(
    "rounds", "rounds", "What each round of the closed loop brought; written where loop.rounds is above 1.", ("round",),
    (
        Column("round", "int", "round of the loop, from 0"),
        Column("last_set_round", "int", "the last `round` of demonstrations that is of it; those up to it and after the one before are its own"),
        Column("demonstration_sets", "int", "demonstration sets that it chose"),
        Column("rows", "bigint", "accepted rows after it"),
        Column("new_rows", "bigint", "rows that it brought"),
        Column("calls", "bigint", "calls after it, those of earlier rounds included"),
        Column("cost_usd", "double", "cost after it; null without prices", nullable=True),
        Column("mmd2", "double", "the certificate's mmd2_after of all rows together", nullable=True),
        Column("mmd2_error", "double", "its standard error", nullable=True),
        Column("gain", "double", "by how much it lowered mmd2; null for the first", nullable=True),
        Column("gain_error", "double", "its standard error, that of two independent figures", nullable=True),
        Column("missing_share", "double", "share of the real rows in clusters where synthetic rows lack so much by weight, each label by its share; 0 is best"),
        Column("stopped_by", "string", "why the loop ended with it: mmd2, a budget (limits...), labels_failing, labels_given_up, no_demonstrations, rounds, gain; null where it goes on", nullable=True),
    ),
)  # fmt: skip
