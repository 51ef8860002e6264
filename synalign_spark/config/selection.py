"""How real rows are embedded and clustered, and which of them are shown to the language model."""

from typing import Annotated, Literal

from pydantic import Field

from synalign_spark.config.section import Positive, Section
from synalign_spark.core import defaults


class EmbedConfig(Section):
    """The encoder that makes a vector of each text."""

    model: str = Field(
        "embedded:all-MiniLM-L6-v2",
        min_length=1,
        description="'embedded:all-MiniLM-L6-v2', a folder, or a sentence-transformers model name.",
    )
    revision: str | None = Field(None, description="Revision of a model from a hub; part of the key under which vectors are reused.")
    batch_size: Positive = Field(32, description="Rows a forward pass.")
    max_tokens: Positive = Field(256, description="Longer texts are cut here.")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="'auto' (a GPU where there is one), 'cpu', 'cuda', 'cuda:1' or 'mps'."
    )


class ClusterConfig(Section):
    """k-means over the vectors of the real rows."""

    k: Positive | Literal["auto"] = Field(
        "auto",
        description=f"Number of clusters; auto is sqrt(rows), between {defaults.FEWEST_CLUSTERS} and {defaults.MOST_CLUSTERS:,}.",
    )
    sample_rows: Positive = Field(50_000, description="Rows of the hash sample that k-means is fitted on.")
    batch_rows: Positive = Field(4_096, description="Rows a mini-batch.")
    max_epochs: Positive = Field(20, description="Most passes over the sample.")
    tolerance: float = Field(1e-4, gt=0, description="Stop when the inertia falls by less than this share in a pass.")


class SelectConfig(Section):
    """Which real rows are shown to the language model, picked by the uncertainty of a Gaussian process."""

    demonstration_sets: Positive | Literal["auto"] = Field(
        "auto",
        description="Sets of real rows to show, over all labels; auto is what generate.target_rows and generate.max_rows_per_set need, "
        f"times {defaults.SETS_MARGIN:g} for rows that are refused, at most {defaults.MOST_SETS:,}.",
    )
    rows_per_set: Positive = Field(3, description="Real rows shown per demonstration set.")
    choice: Literal["nearest", "hash"] = Field("nearest", description="Rows nearest the centroid, or drawn by hash.")
    alpha: float = Field(0.0, ge=0, description="Exponent of the share of the rows in the cluster in the acquisition; 0 is the paper.")
    length_scale: Annotated[float, Field(gt=0)] | Literal["median"] = Field(
        "median", description="RBF length scale of the Gaussian process; median is the median distance between centroids."
    )
    noise: float = Field(0.1, gt=0, description="Standard deviation s of the Gaussian process noise.")
    quota: Literal["equal", "proportional"] = Field("proportional", description="How demonstration sets are shared among labels.")
    reach_sd: float = Field(
        0.7, gt=0, le=1, description="A cluster is within reach of a demonstration when its posterior standard deviation is below this."
    )
