"""How real rows are embedded and clustered, and which of them are shown to the language model."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from synalign_spark.config import presets
from synalign_spark.config.embedding_endpoint import EmbeddingEndpointConfig
from synalign_spark.config.section import Positive, Section
from synalign_spark.core import defaults
from synalign_spark.errors import ConfigError


class EmbedConfig(Section):
    """The encoder that makes a vector of each text."""

    model: str = Field(
        "embedded:all-MiniLM-L6-v2",
        min_length=1,
        description="'embedded:all-MiniLM-L6-v2', a folder, a sentence-transformers model name, or 'hashing': hashed words, projected at "
        "random, which need no model (first looks, millions of rows). With endpoint, the name that the server knows it by.",
    )
    revision: str | None = Field(None, description="Revision of a model from a hub; part of the key under which vectors are reused.")
    batch_size: Positive | None = Field(
        None, description="Rows a forward pass; null is 32, and on a GPU up to 1,024, fewer where texts are long or its memory is short."
    )
    max_tokens: Positive = Field(256, description="Tokens of a forward pass; what becomes of longer texts says long_texts.")
    long_texts: Literal["truncate", "mean_of_windows"] = Field(
        "truncate",
        description="'truncate' cuts a text at max_tokens; 'mean_of_windows' reads it all, and its vector is the mean of its windows'.",
    )
    prompt: str | None = Field(
        None,
        description="Stands before each text ('query: ' and the like, as the model's card says); null for the model's own, if it has one.",
    )
    precision: Literal["fp32", "bf16", "fp16", "int8", "auto"] = Field(
        "fp32",
        description="Numbers of the matrix products: bf16 is fast where the processor has it, fp16 needs a GPU, int8 "
        f"the package onnxruntime and a model with 8-bit ONNX weights. auto is the fastest whose vectors, on {defaults.PROBE_TEXTS} rows, have a mean cosine of {defaults.PROBE_COSINE:g} with those "
        "of fp32 (fp32 in calls of the library). Other numbers, other vectors: none is reused for another precision.",
    )
    deterministic: bool = Field(
        False,
        description="The same bits on any number of tasks, by passes of fixed shapes (some 15 % slower, far more with many small tasks); "
        "else the last bits depend on it.",
    )
    hashing_width: Annotated[int, Field(ge=16, le=4_096)] = Field(256, description="Numbers in a vector of the model 'hashing'.")
    trust_remote_code: bool = Field(False, description="Whether a model may run Python code of its own.")
    endpoint: EmbeddingEndpointConfig | None = Field(None, description="Where vectors are asked for; null is a model of this machine.")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="'auto' (a GPU where there is one), 'cpu', 'cuda', 'cuda:1' or 'mps'."
    )

    @model_validator(mode="after")
    def _asks_or_computes(self) -> "EmbedConfig":
        if self.endpoint is None:
            return self
        if self.model == "hashing" or self.model.startswith("embedded:"):
            raise ValueError(f"model is {self.model!r}, which no endpoint has; set it to the name that the endpoint's server knows it by")
        for name in ("precision", "long_texts", "max_tokens", "deterministic", "trust_remote_code", "device", "batch_size"):
            if getattr(self, name) != type(self).model_fields[name].default:
                instead = {"long_texts": "set endpoint.max_chars to cut texts", "max_tokens": "set endpoint.max_chars to cut texts"}
                instead["batch_size"] = "set endpoint.texts_per_request"
                raise ValueError(f"{name} is for models of this machine, and endpoint is set; {instead.get(name, f'remove {name}')}")
        return self

    @model_validator(mode="after")
    def _precision_fits(self) -> "EmbedConfig":
        if self.precision == "fp16" and self.device == "cpu":
            raise ValueError("precision: fp16 needs a GPU, and device is 'cpu'; use bf16, fp32 or auto")
        if self.precision == "int8" and self.device not in ("auto", "cpu"):
            raise ValueError(f"precision: int8 runs on the processor, and device is {self.device!r}; leave device out, or use bf16 or fp16")
        if self.model == "hashing" and (self.precision not in ("fp32", "auto") or self.prompt is not None):
            raise ValueError("precision and prompt are for models; leave them out with model 'hashing'")
        names = ("revision", "long_texts", "trust_remote_code") if self.model == "hashing" else ("hashing_width",)
        for name in names:
            if getattr(self, name) != type(self).model_fields[name].default:
                kind = "models, and model is 'hashing'" if self.model == "hashing" else f"model 'hashing', and model is {self.model!r}"
                raise ValueError(f"{name} is for {kind}; remove {name} or change model")
        return self


class ClusterConfig(Section):
    """k-means over the vectors of the real rows."""

    k: Positive | Literal["auto"] = Field(
        "auto",
        description=f"Number of clusters; auto is sqrt(rows), between {defaults.FEWEST_CLUSTERS} and {defaults.MOST_CLUSTERS:,}.",
    )
    sample_rows: Positive | Literal["all"] = Field(
        "all", description="Rows that k-means is fitted on, a hash sample; all, or as many as memory_gb allows."
    )
    memory_gb: float = Field(
        2.0,
        gt=0,
        description="For the vectors of a barrier task, where there are too many for the driver; of more rows a hash sample is taken.",
    )
    batch_rows: Positive = Field(4_096, description="Rows a mini-batch, about.")
    max_epochs: Positive = Field(20, description="Most passes over these rows.")
    tolerance: float = Field(3e-4, gt=0, description="Stop when the inertia falls by less than this share in a pass.")


class SelectConfig(Section):
    """Which real rows are shown to the language model, picked by the uncertainty of a Gaussian process."""

    preset: Literal["paper"] | None = Field(
        None,
        description="Sets the other keys that are not given. paper: what the scripts of Ren et al. 2025 do, which is candidates: rows, rows_per_set: 2, "
        "length_scale: 0.1 and hardly any noise.",
    )
    candidates: Literal["clusters", "rows"] = Field(
        "clusters",
        description="What the Gaussian process picks among. rows: single rows; each label begins at a row by chance, which is not shown, a set is the "
        "row picked and its nearest neighbours, and these count as known too. For pandas frames (`sa.select`); it never looks at clusters.",
    )
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

    def refuse_rows(self) -> None:
        """Raises ConfigError where Spark is to pick among single rows: that is for frames in memory."""
        if self.candidates == "rows":
            raise ConfigError(
                "select.candidates is 'rows', which is for pandas frames (sa.select), and Spark picks among clusters; "
                "set it to clusters, and leave out select.preset"
            )

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, values: Any) -> Any:
        return presets.with_preset(values, presets.SELECT)

    @model_validator(mode="after")
    def _rows_alone(self) -> "SelectConfig":
        for name in ("choice", "alpha"):
            if self.candidates == "rows" and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, which is for clusters, and candidates is 'rows'; remove one of the two"
                )
        return self
