"""``synalign show --prompt ID``: the words behind a prompt's hash, or behind a synthetic row."""

from typing import Any, Literal

from rich.markup import escape

from synalign_spark.console import Console
from synalign_spark.errors import DataError
from synalign_spark.storage.lake_view import LakeView, Row
from synalign_spark.storage.tables import ATTRIBUTES, CALLS, PROMPTS, SYNTHETIC

MOST_NAMED = 5


def find_prompts(lake_path: str, format: Literal["delta", "parquet"], run_id: str, key: str) -> list[Row]:
    """The prompt of a hash, or the prompts behind a synthetic row, that of its attributes first; rows of the PROMPTS contract.

    key: the first letters of a prompt_hash or of a doc_id. Starts no JVM. Raises LakeError where there is no such lake or run,
    DataError where nothing, or more than one, begins with the key."""
    view = LakeView(lake_path, format, run_id)
    if prompt := _only(view.starting_with(PROMPTS, "prompt_hash", key, list(PROMPTS.column_names)), "prompt_hash", key):
        return [prompt]
    row = _only(view.starting_with(SYNTHETIC, "doc_id", key, ["doc_id", "request_id", "attribute_set_id"]), "doc_id", key)
    if row is None:
        raise DataError(f"--prompt {key}: no prompt_hash and no doc_id of run {run_id!r} begins so; `synalign show` prints some of both")
    behind = [] if row["attribute_set_id"] is None else _values(view, ATTRIBUTES, "attribute_set_id", row["attribute_set_id"], "request_id")
    requests = list(dict.fromkeys([*behind, row["request_id"]]))
    hashes = [found for request in requests if request for found in _values(view, CALLS, "request_id", request, "prompt_hash")]
    prompts = [prompt for found in hashes for prompt in view.fetch(PROMPTS, "prompt_hash", [found], list(PROMPTS.column_names))]
    if not prompts:
        raise DataError(f"--prompt {key}: the row {row['doc_id'][:12]} was written by no prompt of this run; its set was imported")
    return prompts


def _only(rows: list[Row], name: str, key: str) -> Row | None:
    if len(rows) > 1:
        named = ", ".join(sorted(row[name][: len(key) + 6] for row in rows)[:MOST_NAMED])
        raise DataError(f"--prompt {key}: {len(rows)} values of {name} begin so ({named}, ...); give more letters")
    return rows[0] if rows else None


def _values(view: LakeView, table: Any, key: str, value: str, column: str) -> list[str]:
    return [row[column] for row in view.fetch(table, key, [value], [column])]


def render(prompts: list[Row], console: Console) -> None:
    """Prints what the model read. Nothing in it is read as markup."""
    for prompt in prompts:
        console.print(f"[bold]prompt {prompt['prompt_hash'][:12]}[/] for {prompt['step']}")
        for message in prompt["messages"]:
            said = dict(message)
            console.print(f"[dim]{escape(said['role'])}[/]")
            console.print(escape(said["content"]), soft_wrap=True)
        if prompt["text"] is not None:
            console.print(escape(prompt["text"]), soft_wrap=True)
        console.print(f"[dim]schema[/] {escape(prompt['schema'])}", soft_wrap=True)
