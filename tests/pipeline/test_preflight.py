"""What is checked before Spark starts, and when changed prompts are a changed run. No Spark and no server."""

import pytest

from synalign_spark.config.files import validate
from synalign_spark.errors import ConfigError, EndpointError
from synalign_spark.pipeline.runner import preflight, source_fingerprints
from synalign_spark.pipeline.steps import BY_NAME


@pytest.fixture
def configured(tmp_path):
    """A configuration with the one template and changes of the source; nobody listens at its endpoint."""

    def make(template, **source):
        folder, corpus = tmp_path / "prompts", tmp_path / "corpus.jsonl"
        folder.mkdir(exist_ok=True)
        (folder / "rows.j2").write_text(template)
        if not corpus.exists():  # a file that is written again is another one
            corpus.write_text('{"text": "a fine film"}\n')
        llm = {"provider": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m", "timeout_s": 1, "max_attempts": 1}
        return validate({"source": {"path": str(corpus), **source}, "generate": {"prompts": str(folder), "llm": llm}})

    return make


@pytest.mark.parametrize(
    ("template", "said"),
    [("{{ lable }}", r"rows\.j2, line 1: unknown variable 'lable'"), ("\n{{ label }}", r"rows\.j2, line 2: a NoneType cannot be printed")],
)
def test_templates_are_tried_before_the_endpoint(configured, template, said):
    with pytest.raises(ConfigError, match=said):
        preflight(configured(template), [BY_NAME["generate"]])


def test_a_template_that_works_leads_to_the_endpoint(configured):
    with pytest.raises(EndpointError):
        preflight(configured("{{ label }}", label_column="label"), [BY_NAME["generate"]])


def test_a_changed_template_makes_the_generation_another(configured):
    first = source_fingerprints(configured("one"))
    assert source_fingerprints(configured("one")) == first
    changed = source_fingerprints(configured("two"))
    assert (changed["ingest"], changed["generate"] == first["generate"]) == (first["ingest"], False)
    cfg = configured("one")
    built_in = cfg.model_copy(update={"generate": cfg.generate.model_copy(update={"prompts": "built-in"})})
    assert "generate" not in source_fingerprints(built_in)
