"""``generate``: demonstrations become synthetic rows, in the caller's own process."""

import contextlib
import difflib
import tempfile
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import pyarrow as pa

from synalign_spark.config import GenerateConfig, LimitsConfig, LlmConfig
from synalign_spark.config.files import validate
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.storage.tables import DEMONSTRATIONS, SYNTHETIC

EMBEDDED = "embedded"
MAX_DEMONSTRATIONS = 100_000
# Columns of DEMONSTRATIONS that generation reads.
NEEDED = {c.name: pa.int32() if c.dtype == "int" else pa.string() for c in DEMONSTRATIONS.columns if c.name != "posterior_sd"}
# Fields of the configuration that have an argument of their own here.
ARGUMENTS = {"target_rows": "n", "base_url": "llm", "provider": "llm"}
LEFT_OUT = ("llm", "limits", "imported")

Frame = TypeVar("Frame")  # pandas.DataFrame or pyspark.sql.DataFrame


def generate(
    demonstrations: Frame,
    *,
    llm: str,
    n: int,
    model: str | None = None,
    task: str = "a text",
    label_counts: Mapping[str | None, int] | None = None,
    backend: Literal["in_process", "ray"] = "in_process",
    ledger: str | None = None,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> Frame:
    """Has a language model write ``n`` synthetic rows from demonstrations (Ren et al. 2025, sections 3.2 and 3.3).

    The model first states the latent attributes of each demonstration set, then writes rows from these attributes; rows
    that copy a demonstration, repeat another row or break the length limits are refused and written anew.

    demonstrations: result of ``select``, a pandas or Spark DataFrame with the columns of the DEMONSTRATIONS table (Spark: at
    most 100,000 rows, brought to the driver). llm: base URL of an OpenAI-compatible server, or ``"embedded"`` for the small
    model that comes with this package. The key is read from the environment variable ``api_key_env`` (``OPENAI_API_KEY``).
    n: rows. task: what one row is, for the prompts. label_counts: rows of each label in the real corpus, whose shares the
    synthetic rows follow; None takes the shares of the demonstrations. backend: what sends the requests. ledger: folder (or
    address in an object store) of the answers; called again with the same folder, nothing is asked twice; None keeps none.
    options: any field of the configuration sections ``generate``, ``generate.llm`` and ``generate.limits`` (``strategy``,
    ``rows_per_request``, ``temperature``, ``concurrency``, ``max_cost_usd``, ...).

    Returns a DataFrame of the same kind with the columns of the SYNTHETIC table, among them text, label and doc_id; the same
    input, seed and answers give the same rows. It may have fewer than ``n`` rows, with a warning, where a limit ends it.
    Raises ConfigError for options that are unknown or wrong, DataError for demonstrations that lack columns, EndpointError
    for a server that cannot be used.

    >>> import pandas as pd
    >>> demonstrations = pd.DataFrame({
    ...     "round": 0, "label": ["positive", "negative"], "set_rank": 0, "cluster_id": [7, 4], "rank_in_set": 0,
    ...     "doc_id": ["a1", "b2"], "text": ["a warm and witty film", "two hours i will never get back"],
    ... })
    >>> rows = generate(
    ...     demonstrations, llm="http://localhost:8000/v1", model="my-model", n=6,
    ...     task="a sentence from a movie review", label_counts={"positive": 200, "negative": 100}, progress=False,
    ... )
    >>> rows["label"].value_counts().to_dict()
    {'positive': 4, 'negative': 2}
    """
    cfg = make_config({"task": task, **options}, llm, model, n, backend)
    table = _to_arrow(demonstrations)
    counts = dict(label_counts) if label_counts is not None else dict(Counter(table["label"].to_pylist()))
    from rich.console import Console

    from synalign_spark.generation import engine
    from synalign_spark.progress import Progress

    with contextlib.ExitStack() as stack:
        folder = ledger or stack.enter_context(tempfile.TemporaryDirectory(prefix="synalign-ledger-"))
        result = engine.generate(table, counts, cfg, seed, folder, Progress() if progress else Progress(Console(quiet=True), live=False))
    if result.synthetic.num_rows < n:
        why = {key: result.summary[key] for key in ("stopped_by", "calls", "refused")}
        warnings.warn(f"generate: {result.synthetic.num_rows} of {n} rows were accepted: {why}", stacklevel=2)
    rows: Frame = _like(demonstrations, result.synthetic)
    return rows


def make_config(options: Mapping[str, Any], llm: str, model: str | None, n: int, backend: str) -> GenerateConfig:
    """The ``generate`` section from flat options. Raises ConfigError that names what is unknown or wrong.

    >>> make_config({"temperature": 0.7, "max_requests": 50}, "embedded", None, 10, "in_process").limits.max_requests
    50
    """
    homes = {
        name: home
        for home, section in (("limits", LimitsConfig), ("llm", LlmConfig), ("", GenerateConfig))
        for name in section.model_fields
        if name not in LEFT_OUT and name not in ARGUMENTS
    }
    values: dict[str, Any] = {"target_rows": n, "llm": _endpoint(llm, model) | {"backend": backend}, "limits": {}}
    for name, value in options.items():
        if name not in homes:
            raise ConfigError(f"generate: unknown option `{name}`; {_hint(name, list(homes))}")
        (values[homes[name]] if homes[name] else values)[name] = value
    if values.get("strategy") == "imported":
        raise ConfigError("generate: strategy='imported' writes no rows; give rows that exist already to `align` as they are")
    return validate({"source": {"path": "unused"}, "generate": values}).generate


def _endpoint(llm: str, model: str | None) -> dict[str, Any]:
    if llm == EMBEDDED:
        return {"provider": "embedded"} | ({} if model is None else {"model": model})
    if model is None:
        raise ConfigError(f"generate: model is missing; name the model that the server at llm={llm!r} shall use")
    return {"provider": "openai", "base_url": llm, "model": model}


def _hint(name: str, known: list[str]) -> str:
    if name in ARGUMENTS:
        return f"it is given by `{ARGUMENTS[name]}`"
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean `{close[0]}`?" if close else f"known are: {', '.join(sorted(known))}"


def _to_arrow(demonstrations: Any) -> pa.Table:
    """The needed columns, in the types of their contract. Raises DataError where they are not there or cannot be read."""
    missing = [name for name in NEEDED if name not in demonstrations.columns]
    if missing:
        raise DataError(f"generate: demonstrations lack the columns {', '.join(missing)}; give the result of `select`")
    if _is_spark(demonstrations):
        found = demonstrations.select(*NEEDED).limit(MAX_DEMONSTRATIONS + 1).toArrow()
    else:
        found = pa.Table.from_pandas(demonstrations[list(NEEDED)], preserve_index=False)
    if not 0 < found.num_rows <= MAX_DEMONSTRATIONS:
        raise DataError(f"generate: demonstrations must have 1 to {MAX_DEMONSTRATIONS:,} rows, and have {found.num_rows:,}; see `select`")
    try:
        return found.cast(pa.schema(NEEDED.items()))
    except pa.ArrowInvalid as err:
        raise DataError(f"generate: demonstrations have a column of another type than `select` gives ({err})") from err


def _like(demonstrations: Any, rows: pa.Table) -> Any:
    """The rows as a DataFrame of the kind of ``demonstrations``."""
    if _is_spark(demonstrations):
        return demonstrations.sparkSession.createDataFrame(rows, schema=SYNTHETIC.ddl)
    return rows.to_pandas()


def _is_spark(frame: Any) -> bool:
    """Without importing Spark for a pandas DataFrame."""
    return type(frame).__module__.startswith("pyspark.sql")
