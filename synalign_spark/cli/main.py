"""The command line ``synalign``: init, prompts, doctor, profile, plan, run, dedup, evaluate, show, report, export, config."""

import json
import os
import sys
from typing import Annotated

import typer

from synalign_spark import __version__
from synalign_spark.cli.exits import exit_with
from synalign_spark.config import Config
from synalign_spark.config.files import lake_of, load
from synalign_spark.config.secrets import public_address, public_settings
from synalign_spark.console import Console, say
from synalign_spark.exit_status import Exit
from synalign_spark.formatting import undriven_json
from synalign_spark.scrubbing import scrubbed_json

app = typer.Typer(
    name="synalign",
    help="Synthetic text from an LLM that follows the distribution of a real corpus: Spark, Ray, Delta.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
Files = Annotated[
    list[str], typer.Option("--config", "-c", metavar="FILE", help="YAML configuration; give it several times, later files win.")
]
Settings = Annotated[
    list[str], typer.Option("--set", "-s", metavar="KEY=VALUE", help="One setting on top of the files, e.g. align.n_features=4096.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output instead of words.")]


@app.command()
def run(
    config: Files = [],  # noqa: B006 - typer reads the default, nobody changes it
    settings: Settings = [],  # noqa: B006
    stage: Annotated[str | None, typer.Option(help="Run this stage alone; those before it must be done.")] = None,
    redo: Annotated[bool, typer.Option(help="Replace the output of steps whose settings changed, and of those after them.")] = False,
    as_json: AsJson = False,
    events: Annotated[
        str | None, typer.Option(metavar="FILE", help="Append JSON lines while it runs: stages, progress, the end. - is standard output.")
    ] = None,
) -> None:
    """Run the pipeline. What is done for the same settings and inputs is skipped; a killed run goes on where it was."""
    from synalign_spark.cli.run import run_command

    run_command(config, settings, stage, redo, as_json, events)


@app.command()
def plan(config: Files = [], settings: Settings = [], as_json: AsJson = False) -> None:  # noqa: B006
    """Say what would run, with rows, requests, tokens, cost and time. Makes no call to the language model."""
    from synalign_spark.cli.plan import make_plan, render

    def action() -> None:
        found = make_plan(load(config, settings))
        print(json.dumps(found)) if as_json else render(found, Console(highlight=False))

    exit_with(action)


@app.command()
def profile(config: Files = [], settings: Settings = [], as_json: AsJson = False) -> None:  # noqa: B006
    """Say what the corpus is like: rows, labels, lengths, languages, and how the embedder reads it. Fails where a run would stop for it."""
    from synalign_spark.cli.profile import make_profile, render

    def action() -> Exit:
        found = make_profile(load(config, settings))
        print(json.dumps(found)) if as_json else render(found, Console(highlight=False))
        return Exit.DATA if found["stops"] else Exit.DONE

    exit_with(action)


@app.command()
def dedup(config: Files = [], settings: Settings = [], as_json: AsJson = False) -> None:  # noqa: B006
    """Mark rows of a run that are copies of others or of evaluation sets. Real rows once they are clustered, synthetic ones when they are there."""
    from synalign_spark.cli.dedup import dedup_run, words

    def action() -> None:
        found = dedup_run(config, settings, progress=not as_json)
        print(json.dumps(found)) if as_json else say(words(found))

    exit_with(action)


@app.command()
def evaluate(config: Files = [], settings: Settings = [], as_json: AsJson = False) -> None:  # noqa: B006
    """Say how good the rows of a run are: near to the real ones, varied, no copies, of use to models. `report` then shows it too."""
    from synalign_spark.cli.evaluate import evaluate_run, words

    def action() -> None:
        found = evaluate_run(config, settings, progress=not as_json)
        print(json.dumps(found)) if as_json else say(words(found))

    exit_with(action)


@app.command()
def show(
    config: Files = [],  # noqa: B006
    settings: Settings = [],  # noqa: B006
    rows: Annotated[int, typer.Option(min=0, help="Rows to show, those of highest weight first.")] = 5,
    prompt: Annotated[
        str | None, typer.Option(metavar="ID", help="Show this prompt alone: the first letters of a prompt's hash, or of a row's doc_id.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a run: its tables, the certificate, and rows with their weights and lineage."""
    from synalign_spark.cli import show_prompt
    from synalign_spark.cli.show import render
    from synalign_spark.cli.show import show as gather

    def action() -> None:
        cfg = lake_of(config, settings)
        if prompt is not None:
            prompts = show_prompt.find_prompts(cfg.lake.path, cfg.lake.format, cfg.run.id, prompt)
            print(json.dumps(prompts)) if as_json else show_prompt.render(prompts, Console(highlight=False))
            return
        found = gather(cfg.lake.path, cfg.lake.format, cfg.run.id, rows)
        print(json.dumps(found, default=str)) if as_json else render(found, Console(highlight=False))

    exit_with(action)


@app.command()
def report(
    config: Files = [],  # noqa: B006
    settings: Settings = [],  # noqa: B006
    compare: Annotated[
        tuple[str, str] | None, typer.Option(metavar="RUN RUN", help="Write a page of two finished runs of the lake, side by side.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say where the page of a run is, or write one that puts two runs side by side."""
    from synalign_spark.cli.report import compare as write
    from synalign_spark.cli.report import place_of, words

    def action() -> None:
        cfg = lake_of(config, settings)
        if compare is None:
            place = place_of(cfg)
            print(json.dumps({"page": place})) if as_json else say(place)
            return
        found = write(cfg, *compare)
        print(json.dumps(found)) if as_json else say(words(found))

    exit_with(action)


@app.command()
def export(
    out: Annotated[str, typer.Option("--out", "-o", metavar="FOLDER", help="The folder to write; it must not be there, or be empty.")],
    config: Files = [],  # noqa: B006
    settings: Settings = [],  # noqa: B006
    format: Annotated[str, typer.Option(metavar="FORMAT", help="datasets (Hugging Face), parquet, csv or jsonl.")] = "datasets",
    table: Annotated[str, typer.Option(metavar="TABLE", help="augmented, or synthetic: the synthetic rows with weights.")] = "augmented",
    columns: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Columns to write, with commas between them; all by default.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier export in the folder.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the rows of a finished run, with a dataset card, into a folder that other tools read."""
    from synalign_spark.api.export import export as write

    def action() -> None:
        names = None if columns is None else [name.strip() for name in columns.split(",")]
        done = write(lake_of(config, settings), out, format=format, table=table, columns=names, overwrite=overwrite)
        print(json.dumps({**vars(done), "folder": str(done.folder)})) if as_json else say(str(done))

    exit_with(action)


@app.command()
def doctor(config: Files = [], settings: Settings = [], as_json: AsJson = False) -> None:  # noqa: B006
    """Check this machine and the configuration: Java, Spark, Delta, the executors, Ray, the embedder, the language-model endpoint."""
    from synalign_spark.cli.doctor import doctor_command

    doctor_command(config, settings, as_json)


@app.command()
def init(
    file: Annotated[str, typer.Argument(help="The configuration to write; an existing file is left as it is.")] = "synalign.yaml",
    source: Annotated[
        str | None, typer.Option(metavar="PATH", help="The corpus (file, folder or glob): its columns are looked at and filled in.")
    ] = None,
) -> None:
    """Write a commented configuration to start from."""
    from synalign_spark.cli.init import write

    exit_with(lambda: say(*write(file, source)))


@app.command("prompts")
def prompts_command(
    folder: Annotated[str, typer.Argument(help="Where to write them; files that are there are left as they are.")] = "prompts",
) -> None:
    """Write the built-in prompt templates into a folder, to be edited and named in generate.prompts."""
    from synalign_spark.generation.prompts.templates import write_templates

    def action() -> None:
        for path in write_templates(folder):
            say(f"wrote {path}")
        say(f"edit them (those that stay as they are may go) and set generate.prompts: {folder}")

    exit_with(action)


@app.command("config")
def config_command(
    config: Files = [],  # noqa: B006
    settings: Settings = [],  # noqa: B006
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of the configuration, for editors.")] = False,
) -> None:
    """Print the configuration that files and settings give together, with every default (checks it, too)."""

    def action() -> None:
        if schema:
            print(json.dumps(Config.model_json_schema(by_alias=True), indent=2))
        else:
            print(_public_configuration(load(config, settings)))

    exit_with(action)


def _public_configuration(cfg: Config) -> str:
    """The configuration as JSON. Terminals and logs of a pipeline keep what is printed: no user, password or key of an address."""
    address = cfg.generate.llm.base_url
    if address and (shown := public_address(address)) != address:
        print(f"generate.llm.base_url is printed as {shown}, without what may be a secret", file=sys.stderr)
        llm = cfg.generate.llm.model_copy(update={"base_url": shown})
        cfg = cfg.model_copy(update={"generate": cfg.generate.model_copy(update={"llm": llm})})
    endpoint = cfg.embed.endpoint
    if endpoint and endpoint.base_url and (shown := public_address(endpoint.base_url)) != endpoint.base_url:
        print(f"embed.endpoint.base_url is printed as {shown}, without what may be a secret", file=sys.stderr)
        embed = cfg.embed.model_copy(update={"endpoint": endpoint.model_copy(update={"base_url": shown})})
        cfg = cfg.model_copy(update={"embed": embed})
    if (conf := public_settings(cfg.spark.conf)) != cfg.spark.conf:
        print("settings of spark.conf are printed without what may be a secret", file=sys.stderr)
        cfg = cfg.model_copy(update={"spark": cfg.spark.model_copy(update={"conf": conf})})
    if cfg.generate.llms is not None:
        several = [one.model_copy(update={"base_url": one.base_url and public_address(one.base_url)}) for one in cfg.generate.llms]
        if several != cfg.generate.llms:
            print("addresses of generate.llms are printed without what may be a secret", file=sys.stderr)
        cfg = cfg.model_copy(update={"generate": cfg.generate.model_copy(update={"llms": several})})
    return undriven_json(json.dumps(scrubbed_json(json.loads(cfg.model_dump_json(by_alias=True))), ensure_ascii=False, indent=2))


@app.callback(invoke_without_command=True)
def top(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Options that stand before a command."""
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of the ``synalign`` command."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    app()


if __name__ == "__main__":
    main()
