"""The configuration of the weights, ``align``, and of the draws by them, ``resample``."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from synalign_spark.config.section import OfLabels, Positive, Section
from synalign_spark.core import defaults

MATCHING_METHODS = ("synalign", "mmd")  # the others have no lambda


class AlignConfig(Section):
    """How the weights of the synthetic rows are found."""

    model_config = ConfigDict(allow_inf_nan=False)

    method: Literal["synalign", "mmd", "dsir", "density_ratio", "imp", "uniform"] = Field(
        "synalign",
        description="What the weights are: synalign: a base measure, then MMD; mmd: plain MMD (Ren et al. 2025); dsir: importance by bags of n-grams (Xie "
        "et al. 2023); density_ratio: a classifier of real against synthetic embeddings; imp: p(label | row) by real rows over that by synthetic "
        "ones (Kuo et al. 2025); uniform: none. All get the same certificate and mixing weight.",
    )
    per_label: bool = Field(True, description="Match the rows of each label to the real rows of that label; false matches one mixture.")
    n_features: int = Field(
        2_048, ge=4, le=2**17, description="Width D of the random feature map over all bandwidths; a multiple of twice their number."
    )
    bandwidth: Annotated[float, Field(gt=0)] | Literal["median"] = Field(
        "median", description="RBF bandwidth; median is the median distance on a hash sample."
    )
    bandwidth_scales: list[Annotated[float, Field(gt=0)]] = Field(
        default_factory=lambda: [1.0, 0.5], min_length=1, description="Factors of the bandwidth; their features are concatenated."
    )
    regularization: Annotated[float, Field(ge=1e-9, allow_inf_nan=True)] | Literal["auto", "mmd_rule", "plain"] = Field(
        "auto",
        description="Strength lambda, for the methods synalign and mmd: a larger one stays nearer to the base measure, .inf is that alone. auto: the "
        "smallest that keeps align.ess_floor (labels) or by mmd_rule (none); mmd_rule: by MMD on real rows that shaped nothing; plain: lambda -> 0.",
    )
    label_confidence: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="Exponent a: rows start from p(label | row)^a by classifiers of real and synthetic rows; 0 trusts all labels; "
        f"auto is {defaults.CONFIDENCE_EXPONENT:g} where regularization is auto and there are labels, else 0.",
    )
    density_ratio: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="Exponent b: rows start from (p(words | real) / p(words | synthetic))^b within their label, by a classifier of words and word "
        f"pairs; 0 leaves them out; auto is {defaults.WORD_RATIO_EXPONENT:g} where regularization is auto and there are labels, else 0.",
    )
    embedding_ratio: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="Exponent c: the same density ratio by a classifier of embeddings; 0 leaves it out; auto is the average of base measures with "
        f"{' and '.join(f'{exponent:g}' for exponent in defaults.EMBEDDING_RATIO_EXPONENTS)} where regularization is auto and there are labels, else 0.",
    )
    mixing_weight: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="Real rows that all synthetic rows together count as in `augmented.sample_weight`, each label's as its share of them (a label "
        "without synthetic rows is taught by its real rows at its full share); 0 trains on real rows alone. auto: "
        f"{defaults.USUAL_MIXING_WEIGHT:,.0f}, or with labels less where cross-validation on the real rows speaks against it, never more than there are "
        "synthetic rows, nor than real ones where nothing can judge (no labels, or other label_shares than theirs).",
    )
    ess_floor: Annotated[float, Field(ge=0, lt=1)] | Literal["auto"] = Field(
        "auto",
        description="Smallest effective sample size that align.regularization may leave where it is auto or mmd_rule, the rules that look at it, as a "
        f"share of the rows; auto is {defaults.UNLABELLED_ESS_FLOOR:g}, or with labels {defaults.ESS_FLOOR:g} or {defaults.ENOUGH_ROWS:,.0f} rows, "
        "whichever is less, which labels keep together and each by half. 0 sets none: with labels lambda then ends at one over a label's real rows, "
        "and where the rows reach it above the floor of auto, 0 and auto give the same weights.",
    )
    max_weight: Annotated[float, Field(gt=1)] | None = Field(
        None, description="Largest weight, as a multiple of the mean weight of the label; lambda is raised until it holds."
    )
    cap_outliers: bool | Literal["auto"] = Field(
        "auto",
        description="Rows far from all real rows, nearly equal to one, of words that no real row has, of a density ratio that none reaches, or of a label "
        "that the real rows dispute (`weights.repaired_label`), keep at most the weight that they came with; `weights.capped_by` says why. auto: for the method synalign; the weights of the "
        "other methods stay as their papers have them.",
    )
    label_shares: OfLabels[Annotated[float, Field(ge=0)]] | None = Field(
        None,
        description="Target share of each label in `weight`, in the rows drawn and in `augmented.sample_weight`; a label that is not named gets none; null follows the corpus.",
    )
    holdout: float = Field(
        defaults.HOLDOUT,
        gt=0,
        lt=defaults.MOST_HOLDOUT,
        description="Share of the real rows that are held out, by hash of their ids (of their texts where ids are given): they are never shown to a language model and shape no "
        "cluster, bandwidth or weight, and the certificate is measured on them. Of a label with fewer than 20 real rows all shape its weights.",
    )
    validation: float = Field(
        0.4,
        gt=0,
        lt=0.6,
        description="Share of the real rows in the second half that chooses lambda by the mmd_rule; each half validates the other. By the "
        "ess_rule, the usual one with labels, both halves shape the weights.",
    )
    tolerance: float = Field(1e-6, gt=0, le=0.01, description="Relative duality gap to reach.")
    max_passes: Positive = Field(500, description="Most full passes over the synthetic rows.")
    warm_start_rows: Positive = Field(
        20_000,
        description="Fewest rows of the hash sample on which lambda is sought and most passes go: "
        f"{defaults.SAMPLE_SHARE:.0%} of all rows, or {defaults.SAMPLE_LIMIT} times this, all rows if there are fewer.",
    )
    runtime: Literal["auto", "local", "barrier", "driver_loop"] = Field(
        "auto",
        description="local: in the driver's memory; barrier: one Spark barrier stage; driver_loop: one Spark job a pass; auto goes by the size.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Where passes over the rows run: auto takes a CUDA GPU where the driver, or a barrier task, has one and work for it.",
    )
    memory_gb: float = Field(
        4.0,
        gt=0,
        description="Features that the driver, or a barrier task, may keep; beyond it they are kept in 16 bits or made in each pass. On a GPU its free memory decides.",
    )
    tasks: Positive | Literal["auto"] = Field("auto", description="Barrier tasks; auto is all that can run at once.")
    peer_timeout_s: float = Field(600.0, gt=0, description="Seconds that a barrier task waits for the others before the stage fails.")
    certificate_rows: Positive = Field(
        2_000,
        description="Rows a side, of a label and over all, that the certificate compares; its tests draw half as many synthetic rows at most.",
    )
    permutations: int = Field(
        200,
        ge=defaults.FEWEST_PERMUTATIONS,
        description=f"Permutations of each test; with labels {defaults.PERMUTATIONS_A_TEST} for each of them, if that is more. The smallest p-value is 1 / "
        "(1 + permutations).",
    )

    @property
    def caps_outliers(self) -> bool:
        """Whether outliers are capped: the weights of other methods stay as their papers have them."""
        return self.cap_outliers is not False and self.method == "synalign"

    @model_validator(mode="after")
    def _divisible(self) -> "AlignConfig":
        unit = 2 * len(self.bandwidth_scales)
        if self.n_features % unit:
            raise ValueError(
                f"n_features must be a multiple of {unit} (2 x bandwidth_scales), got {self.n_features}; try {max(unit, self.n_features // unit * unit)}"
            )
        exponents = {name: getattr(self, name) for name in ("label_confidence", "density_ratio", "embedding_ratio")}
        given = [name for name, exponent in exponents.items() if exponent != "auto"]
        if given and self.method != "synalign":
            raise ValueError(f"{given[0]} is part of the method synalign, and method is {self.method}; remove it or set method to synalign")
        if fault := self._without_effect():
            raise ValueError(fault)
        if self.label_shares is not None and not self.per_label:
            raise ValueError("label_shares needs per_label; set per_label to true or remove label_shares")
        if self.holdout + self.validation > 0.8:
            raise ValueError(f"holdout + validation must leave at least 0.2 of the rows to fit, got {self.holdout + self.validation:.2f}")
        return self

    def _without_effect(self) -> str:
        """What is set and would be looked at by nothing, and the fix; empty for nothing."""
        if self.regularization != "auto" and self.method not in MATCHING_METHODS:
            return f"regularization is {self.regularization}, but the method {self.method} has no lambda; remove it or set method to synalign or mmd"
        if self.cap_outliers is True and self.method != "synalign":
            return f"cap_outliers is true, but the weights of the method {self.method} stay as its paper has them; remove it or set method to synalign"
        looked_at = self.regularization == "mmd_rule" or (self.regularization == "auto" and self.method == "synalign")
        if self.ess_floor != "auto" and not looked_at:
            rule = f"regularization {self.regularization}" if self.regularization != "auto" else f"the method {self.method}"
            return f"ess_floor is {self.ess_floor:g}, but {rule} does not look at it; remove it or set method to synalign and regularization to auto or mmd_rule"
        return ""


class ResampleConfig(Section):
    """How rows are drawn by their weights for the table ``augmented``."""

    method: Literal["systematic", "multinomial", "topn"] = Field(
        "systematic",
        description="systematic and multinomial draw with replacement. topn draws without: each row with a probability in proportion to its weight, or "
        "for sure where that would be above one; `sample_weight` then makes up for what a row drawn once cannot represent.",
    )
    rows: Positive | Literal["auto"] = Field(
        "auto",
        description="Synthetic rows to draw; auto is the number of accepted rows, and for topn the effective sample size of the weights, as far as the "
        "labels have rows for their shares: all rows drawn once would undo the weights.",
    )
    include_real: bool = Field(True, description="Put the real rows into `augmented` too.")
