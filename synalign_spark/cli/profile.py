"""``synalign profile``: what the corpus is like, and whether a run would stop for it."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from synalign_spark.config import Config
from synalign_spark.console import Console
from synalign_spark.formatting import number, share

LABELS_SHOWN = 20


def make_profile(cfg: Config) -> dict[str, Any]:
    """The profile of the configured source as plain JSON values. Starts Spark; raises DataError for a source that cannot be used at all."""
    from synalign_spark.pipeline.profile import profile_source
    from synalign_spark.pipeline.session import spark_session

    with spark_session(cfg) as spark:
        return profile_source(cfg, spark)


def render(profile: Mapping[str, Any], console: Console) -> None:
    """The profile in words, what is odd, and what stops a run."""
    for name, text in lines(profile):
        console.print(f"  {name:<15} {escape(text)}", soft_wrap=True)
    for note in profile["notes"]:
        console.print(f"  [yellow]note[/]            {escape(note)}", soft_wrap=True)
    for stop in profile["stops"]:
        console.print(f"  [red]stops a run[/]     {escape(stop)}", soft_wrap=True)
    if not profile["stops"]:
        console.print("[green]nothing stops a run[/]")


def lines(profile: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(heading, text) of what was measured."""
    rows, size, chars, labels = profile["rows"], profile["bytes"], profile["chars"], profile["labels"]
    of_label = sorted(labels.items(), key=lambda item: (-item[1], item[0]))
    reasons = ", ".join(f"{reason} {number(n)}" for reason, n in rows["rejected"].items())
    rejected = f", {number(rows['read'] - rows['accepted'])} rejected ({reasons})" if reasons else ""
    more = f" and {len(of_label) - LABELS_SHOWN} more" if len(of_label) > LABELS_SHOWN else ""
    found = [
        ("rows", f"{number(rows['read'])} read, {number(rows['accepted'])} accepted{rejected}"),
        ("bytes", f"{number(size['read'])} of text read, {number(size['lost'])} lost in rejected rows"),
        ("read as", ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in profile["read_as"].items())),
        ("types", ", ".join(f"{name} {kind}" for name, kind in profile["types"].items())),
        ("labels", ", ".join(f"{label} {number(n)}" for label, n in of_label[:LABELS_SHOWN]) + more or "none"),
        ("nearly one", "; ".join(" and ".join(map(repr, group)) for group in profile["near_labels"])),
        ("characters", ", ".join(f"{name} {number(n)}" for name, n in chars.items())),
        ("languages", ", ".join(f"{code} {share(part)}" for code, part in profile["languages"].items())),
    ]
    if weights := profile["weights"]:
        found.append(("weights", ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in weights.items())))
    if read := profile["embedder"]:
        found.append(("embedder", f"{read['model']}, of {number(read['texts'])} texts: {read_in_words(read)}"))
    return [(name, text) for name, text in found if text]


def read_in_words(read: Mapping[str, Any]) -> str:
    """The shares of what an embedder reads."""
    return (
        f"knows all but {share(read['unknown_tokens'])} of the tokens, spells {share(read['spelled_out'])} of the texts out, takes "
        f"{share(read['identical'])} for another and cuts {share(read['cut'])} at {read['max_tokens']} tokens"
    )
