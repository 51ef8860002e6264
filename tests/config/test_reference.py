"""The generated pages of the documents are those of the models and contracts, and readable as text."""

from pathlib import Path

import pytest

from synalign_spark.config import Config
from synalign_spark.config import reference as configuration
from synalign_spark.generation.prompts import reference as prompts
from synalign_spark.storage import reference as tables
from synalign_spark.storage.tables import TABLES

ROOT = Path(__file__).resolve().parents[2]
BOTH = pytest.mark.parametrize("generator", [configuration, tables], ids=["configuration", "tables"])
EVERY_PAGE = pytest.mark.parametrize("generator", [configuration, tables, prompts], ids=["configuration", "tables", "prompts"])


@EVERY_PAGE
def test_the_committed_page_is_that_of_the_code(generator):
    assert (ROOT / generator.PAGE).read_text(encoding="utf-8") == generator.page(), "run `make reference`"


@BOTH
def test_lines_are_of_at_most_100_columns_and_every_entry_has_a_meaning(generator):
    lines = generator.page().splitlines()
    assert [line for line in lines if len(line) > 100] == []
    items = " ".join(lines).split(" - **")[1:]
    assert [item for item in items if not item.partition("): ")[2].strip()] == []


def test_every_section_and_table_has_a_heading_and_says_what_it_is():
    text = configuration.page()
    for name, _, _ in configuration.sections(Config, ""):
        assert f"\n## {name}\n\n" in text
        assert not text.split(f"\n## {name}\n\n")[1].startswith(("\n", "- ")), f"{name}: its model needs a docstring"
    assert [line[3:] for line in tables.page().splitlines() if line.startswith("## ")] == [table.name for table in TABLES]
