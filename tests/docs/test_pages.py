"""README and documents say what is true: links, commands, configuration keys, names, and lines that a terminal shows whole."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import synalign_spark as sa
from synalign_spark.cli.main import app
from synalign_spark.config import Config
from synalign_spark.config.files import section_of
from synalign_spark.core import defaults

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README, CHANGELOG = ROOT / "README.md", ROOT / "CHANGELOG.md"
PAGES = [README, CHANGELOG, ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
WIDEST = 100
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECTIONS = "|".join(Config.model_fields)
NO_KEYS = {"spark.jars.packages", "run.certificate", "run.report"}  # Spark's own setting, and attributes of sa.Run


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def shell_commands(page: Path) -> list[list[str]]:
    """The words of each command in the page's bash blocks, comments left out and continued lines joined."""
    blocks = (body for language, body in FENCE.findall(page.read_text(encoding="utf-8")) if language == "bash")
    lines = (line for block in blocks for line in block.replace("\\\n", " ").splitlines())
    return [words for line in lines if (words := re.sub(r"(^|\s)#.*", "", line).split())]


def anchor(heading: str) -> str:
    """What a heading is called in an address."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@EVERY_PAGE
def test_relative_links_lead_to_a_file_and_a_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, name = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target}: no such file"
        if name:
            headings = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert name in {anchor(heading) for heading in headings}, f"{target}: no such heading"


@EVERY_PAGE
def test_lines_fit_a_terminal(page):
    long = [
        line
        for line in page.read_text(encoding="utf-8").splitlines()
        if len(line) > WIDEST and (page == README or not line.lstrip().startswith("|"))
    ]
    assert long == []


@EVERY_PAGE
def test_tables_have_a_row_a_line(page):
    """A formatter of paragraphs makes one of them, which then shows as a run of pipes."""
    assert [line for line in prose(page).splitlines() if "|--" in line and not re.fullmatch(r" *\|(-+:?\|)+", line)] == []


@EVERY_PAGE
def test_commands_and_their_options_exist(page):
    commands = get_command(app).commands
    for words in shell_commands(page):
        program = words[0].rpartition("/")[2]
        if program == "synalign":
            known = {option for parameter in commands[words[1]].params for option in parameter.opts}
            assert {word.partition("=")[0] for word in words[2:] if word.startswith("-")} <= known, " ".join(words)
        elif program == "make":
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            assert {word for word in words[1:] if re.fullmatch(r"[a-z-]+", word)} <= set(targets), " ".join(words)
        elif program == "python" and words[1].endswith(".py"):
            assert (ROOT / words[1]).is_file(), " ".join(words)


@EVERY_PAGE
def test_configuration_keys_exist(page):
    text = page.read_text(encoding="utf-8")
    if page == CHANGELOG:  # its tables name the keys of earlier versions first
        text = re.sub(r"^ *\| `[a-z_.]+` \|", "", text, flags=re.MULTILINE)
    named = re.findall(rf"`((?:{SECTIONS})(?:\.[a-z_]+)+)[`:=]", text) + re.findall(rf"--set ((?:{SECTIONS})\.[a-z_.]+)=", text)
    assert [key for key in named if key not in NO_KEYS and not is_key(key)] == []


def is_key(key: str) -> bool:
    """Whether the configuration has a key, or a section, of this name. key: dotted."""
    model = Config
    for part in key.split("."):
        fields = {field.alias or name: field for name, field in getattr(model, "model_fields", {}).items()}
        if part not in fields:
            return False
        model = section_of(fields[part].annotation)
    return True


def test_the_command_line_page_has_every_command_and_option():
    text = (DOCS / "reference" / "command-line.md").read_text(encoding="utf-8")
    for name, command in get_command(app).commands.items():
        assert f"`synalign {name}" in text
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--"):
                    assert re.search(rf"^\| `{option}\b[^|]*\|[^|]*\b{name}\b", text, re.MULTILINE), f"{name} {option}"


def test_the_api_page_has_every_public_name():
    shown = re.findall(r"^::: (\S+)$", (DOCS / "reference" / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(sa.__all__) <= {path.rpartition(".")[2] for path in shown}
    for path in shown:
        module, _, name = path.rpartition(".")
        assert name in ("errors",) or name in {*vars(sys.modules.get(module) or __import__(module, fromlist=[name]))}, path


def test_the_readme_is_read_in_three_minutes():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 130


def test_the_readmes_table_is_the_mean_of_the_benchmarks():
    """To the rounding of the single figures."""
    tables = re.findall(r"^\| task \| real rows.*?(?=\n\n)", (DOCS / "benchmarks.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = README.read_text(encoding="utf-8").splitlines()
    (header,) = (cells(line) for line in lines if line.startswith("| trained on |"))
    rows = [line for line in lines if re.match(r"\| (drawn|both) \|", line)]
    assert (len(tables), len(rows)) == (2, 4)
    for i, row in enumerate(rows):
        names, _, *lines = (cells(line) for line in tables[i // 2].splitlines())
        chosen = [dict(zip(names, line, strict=True)) for line in lines if (line[1] == "300") == (i % 2 == 0)]
        for name, shown in zip(header[2:], cells(row)[2:], strict=True):
            values = [[float(value) for value in line[name].split("/")] for line in chosen]
            means = [sum(value) / len(values) for value in zip(*values, strict=True)]
            assert [float(value) for value in shown.split("/")] == pytest.approx(means, abs=0.051), row


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.replace("*", "").strip("|").split("|")]


def test_constants_in_the_concepts_are_those_of_the_code():
    text = " ".join((DOCS / "concepts.md").read_text(encoding="utf-8").split())
    low, high = defaults.EMBEDDING_RATIO_EXPONENTS
    real, synthetic = defaults.CROSS_VALIDATION_ROWS
    for words in (
        f"a = {defaults.CONFIDENCE_EXPONENT:g}, b = {defaults.WORD_RATIO_EXPONENT:g}, and c = {low:g} and {high:g} in equal parts",
        f"an effective sample size of {defaults.ESS_FLOOR:g} of the rows together",
        f"**mixing weight** (`align.mixing_weight`): usually {defaults.USUAL_MIXING_WEIGHT:,.0f}",
        f"(at most {real:,} of them and {synthetic:,} synthetic ones",
        f"a label of fewer than {defaults.FEWEST_REAL_ROWS} real rows holds none out",
    ):
        assert words in text


def test_the_site_is_built_without_the_network(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env={"NO_MKDOCS_2_WARNING": "1", "PATH": "/nowhere"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"?((?:https?:)?//[^\">\s]+)", page.read_text(encoding="utf-8"))
        assert loaded == [], page.name
