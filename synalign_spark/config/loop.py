"""The closed loop: how many rounds of generation and alignment, and when it has enough."""

from pydantic import Field, model_validator

from synalign_spark.config.section import Positive, Section


class LoopConfig(Section):
    """Generation in rounds: after each the alignment says where synthetic rows are missing, and the demonstrations of the next are from there."""

    rounds: Positive = Field(
        1,
        description="Rounds at most; 1 is no loop. generate.target_rows and select.demonstration_sets are shared out evenly over them.",
    )
    max_mmd2: float | None = Field(
        None, ge=0, description="Stop once the certificate's mmd2_after, to held-out real rows, is at most this; null sets no target."
    )
    min_gain: float = Field(
        1.0,
        ge=0,
        description="Stop after a round that lowers mmd2_after by less than this many standard errors of the difference; 0 never does.",
    )

    @model_validator(mode="after")
    def _has_rounds(self) -> "LoopConfig":
        for name in ("max_mmd2", "min_gain"):
            if self.rounds == 1 and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} ends the rounds of a loop, and rounds is 1; set rounds above 1 or remove {name}")
        return self
