"""``generate``: demonstrations become synthetic rows, in the caller's own process."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from numbers import Integral
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import pyarrow as pa

from synalign_spark.api.frames import as_text, check_seed, frame_kind
from synalign_spark.api.options import configuration
from synalign_spark.compat import from_arrow, to_arrow
from synalign_spark.config import GenerateConfig
from synalign_spark.core.sampling.lengths import COLUMNS as LENGTHS
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.storage.tables import DEMONSTRATIONS, SYNTHETIC

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

    Frame = TypeVar("Frame", pd.DataFrame, DataFrame)

EMBEDDED = "embedded"
UNNAMED = "give it a name, or None for rows without a label"
MAX_DEMONSTRATIONS = 100_000
READ = {field.name: field.type for field in DEMONSTRATIONS.arrow if field.name != "posterior_sd"}  # columns that generation reads
NEEDED = [name for name in READ if name not in LENGTHS]
SECTIONS = ("generate", "generate.llm", "generate.limits")
FIXED = {
    "target_rows": "give n",
    "provider": "give llm, an address or 'embedded'",
    "base_url": "give llm, an address or 'embedded'",
    "imported": "rows that exist already go to align() as they are",
}


def generate(
    demonstrations: Frame,
    *,
    llm: str,
    n: int,
    model: str | None = None,
    task: str | None = None,
    label_counts: Mapping[str | None, int] | None = None,
    backend: Literal["in_process", "ray"] = "in_process",
    ledger: str | PathLike[str] | None = None,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> Frame:
    """Has a language model write ``n`` synthetic rows from demonstrations (Ren et al. 2025, sections 3.2 and 3.3).

    The model first states the latent attributes of each demonstration set, then writes rows from these attributes; rows
    that copy a demonstration, nearly repeat another row, are no text or fail another gate are refused and written anew.

    demonstrations: result of ``select``, a pandas or Spark DataFrame with the columns of the DEMONSTRATIONS table (Spark: at
    most 100,000 rows, brought to the driver). llm: base URL of an OpenAI-compatible server, or ``"embedded"`` for the small
    model that comes with this package. The key is read from the environment variable ``api_key_env`` (``OPENAI_API_KEY``).
    n: rows. task: what one row is, for the prompts; None is 'a text', or that of the preset. label_counts: rows of each label in the real corpus, whose shares the
    synthetic rows follow; None takes the shares of the demonstrations. backend: what sends the requests. ledger: folder (or
    address in an object store) of the answers; called again with the same folder, nothing is asked twice; None keeps them
    only where an error ends the call (which then names their folder).
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
    check_seed(seed)
    if not isinstance(llm, str) or not llm:
        raise ConfigError(f"generate: llm must be the address of an OpenAI-compatible server or 'embedded', got {llm!r}")
    cfg = make_config(({} if task is None else {"task": task}) | options, llm, model, n, backend)
    table = _to_arrow(demonstrations)
    counts = dict(Counter(table["label"].to_pylist())) if label_counts is None else _counts(label_counts)
    from synalign_spark.console import Console
    from synalign_spark.generation import engine
    from synalign_spark.progress import Progress

    with _stored_answers(None if ledger is None else str(ledger)) as folder:
        result = engine.generate(table, counts, cfg, seed, folder, Progress() if progress else Progress(Console(quiet=True), live=False))
    if left_out := result.summary["labels_left_out"]:
        warnings.warn(f"generate: no rows of {left_out}: the demonstrations have none of that label; select() them too", stacklevel=2)
    for note in result.summary["gate_notes"]:
        warnings.warn(f"generate: {note}", stacklevel=2)
    if result.synthetic.num_rows < n:
        why = {key: result.summary[key] for key in ("stopped_by", "missing_by_label", "labels_given_up", "calls", "refused")}
        warnings.warn(f"generate: {result.synthetic.num_rows} of {n} rows were accepted: {why}", stacklevel=2)
    return cast("Frame", _like(demonstrations, result.synthetic))


def _counts(label_counts: Mapping[Any, int]) -> dict[str | None, int]:
    """Rows by label as text. Raises ConfigError for what is no number of rows."""
    if not isinstance(label_counts, Mapping) or any(not isinstance(n, Integral) or n < 0 for n in label_counts.values()):
        raise ConfigError(f"generate: label_counts must map labels to numbers of rows >= 0, got {label_counts!r}")
    counts = {None if label is None else as_text(label): int(n) for label, n in label_counts.items()}
    if any(label is not None and not label.strip() for label in counts):
        raise ConfigError(f"generate: label_counts has an empty label, which no prompt can name; {UNNAMED}")
    return counts


@contextlib.contextmanager
def _stored_answers(ledger: str | None) -> Iterator[str]:
    """Folder of the answers; a temporary one without ``ledger``. Answers that were paid for outlive an error or a Ctrl-C."""
    from synalign_spark.generation.ledger import count_answers

    folder = ledger or tempfile.mkdtemp(prefix="synalign-ledger-")
    try:
        yield folder
    except BaseException as err:
        if n_answers := count_answers(folder):
            err.add_note(f"{n_answers} answers are stored: call generate again with ledger={folder!r} to go on from them")
        elif ledger is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if ledger is None:
        shutil.rmtree(folder, ignore_errors=True)


def make_config(options: Mapping[str, Any], llm: str, model: str | None, n: int, backend: str) -> GenerateConfig:
    """The ``generate`` section from flat options. Raises ConfigError that names what is unknown or wrong.

    >>> make_config({"temperature": 0.7, "max_requests": 50}, "embedded", None, 10, "in_process").limits.max_requests
    50
    """
    given: dict[str, Any] = {"generate.target_rows": n, "generate.llm.backend": backend}
    if llm == EMBEDDED:
        given |= {"generate.llm.provider": "embedded"} | ({} if model is None else {"generate.llm.model": model})
    elif model is None:
        raise ConfigError(f"generate: model is None; name the model that the server at llm={llm!r} shall use")
    else:
        given |= {"generate.llm.provider": "openai", "generate.llm.base_url": llm, "generate.llm.model": model}
    if options.get("strategy") == "imported":
        raise ConfigError(f"generate: strategy='imported' writes no rows; {FIXED['imported']}")
    return configuration(options, SECTIONS, "generate", FIXED, given).generate


def _to_arrow(demonstrations: Any) -> pa.Table:
    """The needed columns, in the types of their contract. Raises DataError where they are not there or cannot be read."""
    spark = frame_kind(demonstrations, "demonstrations") == "spark"
    missing = [name for name in NEEDED if name not in demonstrations.columns]
    if missing:
        raise DataError(f"demonstrations: lack the columns {', '.join(missing)}; give what select() returned")
    types = {name: READ[name] for name in READ if name in demonstrations.columns}
    needed = demonstrations.select(*types) if spark else demonstrations[list(types)]
    found = to_arrow(needed.limit(MAX_DEMONSTRATIONS + 1)) if spark else pa.Table.from_pandas(needed, preserve_index=False)
    if not 0 < found.num_rows <= MAX_DEMONSTRATIONS:
        raise DataError(f"demonstrations: must have 1 to {MAX_DEMONSTRATIONS:,} rows, got {found.num_rows:,}; give what select() returned")
    for name in (name for name in NEEDED if name != "label"):
        if n_nulls := found[name].null_count:
            raise DataError(f"demonstrations: {name} is null in {n_nulls:,} of {found.num_rows:,} rows; leave these rows out, or fill it")
    try:
        table = found.cast(pa.schema(types.items()))
    except pa.ArrowException as err:
        raise DataError(f"demonstrations: a column has another type than select() gives it ({err})") from err
    if n_empty := sum(label is not None and not label.strip() for label in table["label"].to_pylist()):
        raise DataError(f"demonstrations: label is empty in {n_empty:,} of {table.num_rows:,} rows, and no prompt can name it; {UNNAMED}")
    return table


def _like(demonstrations: Any, rows: pa.Table) -> Any:
    """The rows as a DataFrame of the kind of ``demonstrations``."""
    if frame_kind(demonstrations, "demonstrations") == "spark":
        return from_arrow(demonstrations.sparkSession, rows, SYNTHETIC.ddl)
    return rows.to_pandas()
