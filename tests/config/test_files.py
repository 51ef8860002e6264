"""Configuration: overlays, settings, and every fault in one message with key, value and fix."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.config import Config
from synalign_spark.config.files import configured, load, overlay, parse_setting, read_yaml, validate
from synalign_spark.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
KEYS = st.sampled_from(["a", "b", "c"])
TREES = st.recursive(st.integers(), lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)
FIELD = {"name": "title", "description": "a headline"}
LABELLED = {"label_column": "label", "labels": ["a", "b"]}
MAPPINGS = st.dictionaries(KEYS, TREES, max_size=3)


def faults(values: dict) -> str:
    with pytest.raises(ConfigError) as caught:
        validate(values)
    return str(caught.value)


@pytest.mark.parametrize("name", ["quickstart", "local"])
def test_the_shipped_configurations_are_valid(name):
    assert load([ROOT / "conf" / f"{name}.yaml"]).run.id == name


def test_the_cluster_overlay_goes_over_the_local_one():
    cfg = load([ROOT / "conf" / "local.yaml", ROOT / "conf" / "cluster.yaml"])
    assert cfg.lake.path.startswith("s3a://")
    assert cfg.generate.llm.concurrency == 128
    assert cfg.generate.llm.model == "gpt-4o-mini"  # kept from below


def test_later_files_and_settings_win(tmp_path):
    (tmp_path / "a.yaml").write_text("source: {path: x}\nalign: {n_features: 512, holdout: 0.3}\n")
    (tmp_path / "b.yaml").write_text("align: {n_features: 1024}\n")
    cfg = load([tmp_path / "a.yaml", tmp_path / "b.yaml"], ["align.regularization=1e-3", "run.id=r2"])
    assert (cfg.align.n_features, cfg.align.holdout, cfg.align.regularization, cfg.run.id) == (1024, 0.3, 1e-3, "r2")


def test_all_faults_come_at_once_with_key_value_and_fix():
    text = faults({"source": {"path": "x"}, "align": {"n_featurs": 3, "holdout": 0.9}, "select": {"demonstration_sets": 0}, "algn": {}})
    assert "4 faults" in text
    assert "align.n_featurs: unknown key; did you mean `n_features`?" in text
    assert "align.holdout: got 0.9" in text
    assert "select.demonstration_sets: got 0" in text
    assert "algn: unknown key; did you mean `align`?" in text


def test_a_value_of_a_union_is_reported_once():
    assert faults({"source": {"path": "x"}, "align": {"regularization": "strong"}}).count("align.regularization") == 1


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"align": {"n_features": 6}}, "multiple of 4"),
        ({"align": {"holdout": 0.45, "validation": 0.45}}, "leave at least 0.2"),
        ({"ingest": {"min_chars": 9, "max_chars": 3}}, "min_chars (9) is above max_chars (3)"),
        ({"generate": {"strategy": "imported"}}, "generate.imported.path"),
        ({"generate": {"imported": {"path": "x"}}}, "set strategy to 'imported'"),
        ({"generate": {"show_demonstrations": True, "strategy": "simprompt"}}, "show_demonstrations is true but strategy 'simprompt'"),
        ({"generate": {"show_demonstrations": False, "strategy": "fewshot"}}, "show_demonstrations is false"),
        ({"generate": {"text_template": "{a}"}}, "fields is empty"),
        ({"generate": {"fields": [FIELD, FIELD]}}, "names title, which are one name"),
        ({"generate": {"fields": [FIELD], "text_template": "{title}: {body}"}}, "the fields are title"),
        ({"generate": {"fields": [FIELD], "text_template": "title"}}, "must hold fields in braces"),
        (
            {"generate": {"fields": [FIELD], "text_template": "{title.__class__} {title}"}},
            "has {title.__class__} in it, and only a field's name may stand in braces; write {title} alone",
        ),
        ({"generate": {"fields": [FIELD], "text_template": "{title[0]} {title}"}}, "has {title[0]} in it"),
        ({"generate": {"fields": [FIELD], "text_template": "{title!r} {title}"}}, "has {title!r} in it"),
        ({"generate": {"fields": [FIELD], "text_template": "{title:>9} {title}"}}, "has {title:>9} in it"),
        ({"generate": {"fields": [FIELD], "text_template": "{ title } {title}"}}, "has { title } in it"),
        ({"generate": {"language": "Englsh"}}, "generate.language is 'Englsh', which no language is called; did you mean English"),
        ({"generate": {"language": "Qwxz"}}, "give the English name of a language, such as German"),
        ({"generate": {"copy_overlap": 0}}, "give a share above 0, or leave 'copied' out of gates"),
        ({"generate": {"fields": [FIELD | {"name": "a b"}]}}, "generate.fields.0.name: got 'a b'"),
        ({"generate": {"fields": [FIELD | {"descripton": "x"}]}}, "generate.fields.0.descripton: unknown key; did you mean `description`?"),
        ({"generate": {"fields": [FIELD, FIELD | {"name": "Title"}]}}, "fields names Title, title, which are one name"),
        ({"generate": {"max_candidates": 4}}, "generate.max_candidates is 4, less than the rows_per_request=5 of one call; raise"),
        ({"generate": {"min_chars": 30, "max_chars": 20}}, "generate.min_chars (30) is above max_chars (20); lower it"),
        (
            {"generate": {"fields": [FIELD | {"name": "main_title"}, FIELD | {"name": "Main__Title"}]}},
            "fields names Main__Title, main_title,",
        ),
        ({"generate": {"attributes": ["tone", "Tone"]}}, "generate.attributes names Tone, tone, which are one name"),
        ({"generate": {"attributes": ["word-play", "word play", "x"]}}, "generate.attributes names word play, word-play, which"),
        ({"generate": {"attributes": ["tone", " "]}}, "generate.attributes is ['tone', ' '], with a blank name"),
        ({"generate": {"attribute_values": {"tonne": ["warm"]}}}, "attribute_values has values of 'tonne', which is not among"),
        ({"generate": {"attribute_values": {"tonne": ["warm"]}}}, "did you mean 'tone'?"),
        ({"generate": {"attribute_values": {"weather": ["rain"]}}}, "add it there, or remove it here"),
        ({"generate": {"attribute_values": {"tone": []}}}, "generate.attribute_values.tone is []; give at least one value"),
        ({"generate": {"attribute_values": {"tone": ["warm", ""]}}}, "generate.attribute_values.tone is ['warm', '']"),
        ({"generate": {"task": "a {labels} review"}}, "generate.task 'a {labels} review' has {labels} in it; {label} is the one place"),
        ({"generate": {"task": "a {label review"}}, "has {label review in it"),
        ({"generate": {"label_shares": {"a": 2, "b": -1}}}, "generate.label_shares is {'a': 2.0, 'b': -1.0}; give finite shares"),
        ({"generate": {"label_shares": {"a": 0}}}, "with a sum above 0"),
        ({"generate": {"label_shares": {}}}, "with a sum above 0"),
        ({"generate": {"label_shares": {"a": float("nan")}}}, "generate.label_shares.a: got nan; input should be a finite number"),
        (
            {"generate": {"llm": {"structured_output": "tool"}}},
            "generate.llm.structured_output 'tool' needs messages, and the model continues",
        ),
        ({"generate": {"llm": {"structured_output": "json_object"}}}, "or set api to chat"),
        ({"generate": {"limits": {"max_cost_usd": 3}}}, "llm.price_input_usd"),
        ({"source": {"path": "x", "table": "y"}}, "path and table"),
        (
            {"generate": {"llm": {"base_url": "http://h/v1", "provider": "embedded"}}},
            "generate.llm.base_url is set and provider is 'embedded'",
        ),
        ({"align": {"label_shares": {"a": 1}}}, "align.label_shares is set, and source.label_column is not"),
        ({"align": {"label_shares": {"a": -1}}}, "align.label_shares.a: got -1"),
        ({"align": {"label_shares": {"a": float("nan")}}}, "align.label_shares.a: got nan"),
        ({"source": LABELLED, "align": {"label_shares": {"c": 1}}}, "align.label_shares names c, not among source.labels (a, b)"),
        (
            {"source": LABELLED, "align": {"label_shares": {"a": 1, "b": 1}}, "generate": {"label_shares": {"a": 1, "b": 0}}},
            "align.label_shares wants rows of b, and generate.label_shares has none written of them",
        ),
        ({"source": LABELLED, "generate": {"label_descriptions": {"c": "x"}}}, "generate.label_descriptions names c, not among"),
        ({"generate": {"label_agreement": 0.5}}, "generate.label_agreement is set, and source.label_column is not"),
        ({"embed": {"hashing_width": 64}}, "embed.hashing_width is for model 'hashing', and model is 'embedded:all-MiniLM-L6-v2'; remove"),
        ({"embed": {"model": "hashing", "revision": "x"}}, "embed.revision is for models, and model is 'hashing'; remove revision"),
        ({"embed": {"model": "hashing", "long_texts": "mean_of_windows"}}, "embed.long_texts is for models, and model is 'hashing'"),
        ({"loop": {"max_mmd2": 0.1}}, "loop.max_mmd2 ends the rounds of a loop, and rounds is 1; set rounds above 1 or remove max_mmd2"),
        ({"loop": {"min_gain": 0}}, "loop.min_gain ends the rounds of a loop"),
        ({"source": {"labels": ["a"]}}, "source.labels is set, and label_column is not"),
        ({"source": {"rename_labels": {"0": "bad"}}}, "source.rename_labels is set, and label_column is not"),
        ({"source": {"label_column": "score", "label_bins": [2, 2]}}, "source.label_bins is [2.0, 2.0]; give edges that rise"),
        ({"source": {"text_column": "body", "text_template": "{title}"}}, "text_template is set, and so is text_column ('body')"),
        ({"source": {"text_template": "{title"}}, "must hold columns in braces"),
        ({"source": {"format": "jsonl", "separator": ";"}}, "source.separator is set (';'), and format is 'jsonl'"),
        ({"source": {"path": "a\0b"}}, "source.path is 'a\\x00b', with a NUL in it"),
        ({"lake": {"path": "a\0b"}}, "lake.path is 'a\\x00b', with a NUL in it"),
        ({"source": {"format": "csv", "quote": ";", "separator": ";"}}, "source.separator ';' is a quote or escape too"),
        ({"embed": {"device": "tpu"}}, "embed.device: got 'tpu'"),
        ({"align": {"tolerance": float("inf")}}, "align.tolerance: got inf; input should be a finite number"),
        ({"run": {"id": "a b"}}, "run.id"),
        ({"source": {"path": None}}, "set source.path, source.table, source.query or source.package"),
    ],
)
def test_impossible_combinations_are_refused(section, words):
    assert words in faults(overlay({"source": {"path": "x"}}, section))


def test_what_is_near_an_impossible_combination_is_valid():
    llm = {"structured_output": "tool", "api": "chat"}
    rows = {"task": "a {label} {label} review", "label_shares": {"a": 0, "b": 3}, "min_chars": 20, "max_chars": 20, "max_candidates": 5}
    found = validate(
        {"source": {"path": "x", "label_column": "label"}, "generate": rows | {"attribute_values": {"tone": ["warm"]}, "llm": llm}}
    ).generate
    assert {key: getattr(found, key) for key in rows} == rows
    assert (found.llm.structured_output, found.llm.api) == ("tool", "chat")


def test_the_provider_follows_the_address():
    endpoint = validate({"source": {"path": "x"}, "generate": {"llm": {"base_url": "http://h/v1", "model": "m"}}})
    assert endpoint.generate.llm.provider == "openai"
    assert configured(endpoint, ["generate.llm.base_url=http://other/v1"]).generate.llm.provider == "openai"
    assert validate({"source": {"path": "x"}}).generate.llm.provider == "embedded"


def test_a_secret_in_the_configuration_is_refused_and_not_shown():
    text = faults({"source": {"path": "x"}, "generate": {"llm": {"api_key": "sk-verysecret"}}})
    assert "environment variable" in text
    assert "verysecret" not in text


@pytest.mark.parametrize(
    "text", ["a: [", "- a\n- b", "a: 1\na: 2", "!!python/object:os.system x", "? [a, b]\n: 1", "2024-01-01: 1", "a: 2024-13-45"]
)
def test_yaml_that_is_no_plain_mapping_is_refused(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="bad.yaml"):
        read_yaml(path)


@pytest.mark.parametrize("setting", ["", "=", "a", "a.=1", ".a=1", "a=["])
def test_a_setting_that_is_no_setting_is_refused(setting):
    with pytest.raises(ConfigError, match="--set"):
        parse_setting(setting)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("source.labels=[0.5]", 'source.labels.0: got 0.5; a text is meant, and YAML reads this as a number: put it in quotes, such as "0.5"'),
        ("source.labels=[no]", 'as it does yes, no, on, off, true and false: put it in quotes, such as "no" (with --set'),
        ("source.labels=[2024-01-01]", 'as a date: put it in quotes, such as "2024-01-01"'),
        ("source.labels=[~]", 'as nothing: put it in quotes, such as "null"'),
        ("source.rename_labels={no: x}", "'no' stands where a key's name should, and YAML reads it as a boolean"),
        ("source.rename_labels={1: x}", 'source.rename_labels.1: got 1; a text is meant, and YAML reads this as a number: put it in quotes'),
        ("source.rename_labels={x: true}", 'source.rename_labels.x: got True; a text is meant'),
        ("generate.label_descriptions={yes: x}", "'yes' stands where a key's name should"),
        ("generate.label_shares={0: 1}", 'generate.label_shares.0: got 0; a text is meant'),
        ("align.label_shares={off: 1}", "'off' stands where a key's name should"),
        ("generate.imported.labels=[yes]", 'generate.imported.labels.0: got True; a text is meant'),
        ("source.labels=[true]", "(with --set once more for the shell: 'key=[\"yes\"]')"),
    ],
)  # fmt: skip
def test_a_word_that_yaml_reads_as_another_type_is_to_be_put_in_quotes(setting, words):
    with pytest.raises(ConfigError) as caught:
        configured({"source": {"path": "x", "label_column": "label"}}, [setting])
    assert words in str(caught.value)
    quoted = configured({"source": {"path": "x", "label_column": "label"}}, ['source.labels=["no", "0.5"]'])
    assert quoted.source.labels == ["no", "0.5"]


@pytest.mark.parametrize(("setting", "value"), [("generate.imported=null", "None"), ("align=3", "3")])
def test_a_section_that_is_none_is_said_to_be_one_without_its_defaults(setting, value):
    with pytest.raises(ConfigError) as raised:
        load([], ["source.path=x.csv", setting])
    assert "SourceConfig" not in str(raised.value)
    key = setting.partition("=")[0]
    assert f"{key}: got {value}; a section is meant, with keys of its own below it; " in str(raised.value)


def test_what_stands_for_a_secret_is_not_shown_as_an_example():
    assert "4711" not in faults({"source": {"path": "x"}, "generate": {"llm": {"headers": {"x-pin": 4711}}}})


def test_a_missing_file_and_no_file_are_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere.yaml"):
        load([tmp_path / "nowhere.yaml"])
    with pytest.raises(ConfigError, match="--config"):
        load([])


@given(MAPPINGS, MAPPINGS)
def test_the_top_layer_wins_and_the_rest_stays(a, b):
    merged = overlay(a, b)
    assert overlay(merged, b) == merged
    assert merged.keys() == a.keys() | b.keys()
    assert all(merged[key] == a[key] for key in a.keys() - b.keys())
    assert all(merged[key] == value for key, value in b.items() if not isinstance(value, dict))


@given(MAPPINGS)
def test_overlay_of_nothing_changes_nothing(a):
    assert overlay(a, {}) == overlay({}, a) == overlay(a, a) == a


@given(st.integers(4, 2000).map(lambda n: 4 * n))
def test_a_configuration_survives_being_written_and_read(n_features):
    cfg = validate({"source": {"path": "x"}, "align": {"n_features": n_features, "regularization": float("inf")}})
    assert Config.model_validate_json(cfg.model_dump_json(by_alias=True)) == cfg
    assert validate(cfg.model_dump(by_alias=True)) == cfg


def test_the_schema_for_editors_knows_every_section():
    assert set(Config.model_fields) <= set(json.loads(json.dumps(Config.model_json_schema(by_alias=True)))["properties"])


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (f"https://me:pass@{'a' * 64}.com/v1", "no host has such a name"),
        ("https://me:pass@/v1", "no host has such a name"),
        ("https://me:pass@a..b/v1", "no host has such a name"),
        ("https://me:pass@host:99999/v1", "the port is no number"),
        ("https://me:pass@host:http/v1", "the port is no number"),
        ("https://me:pass@[::1/v1", "no IPv6 address"),
        ("https://me:pass@host/v1/chat/completions", "ends in /chat/completions, which each call adds by itself"),
        ("https://me:pass@host/v1/completions/?api-version=1", "ends in /completions/, which"),
    ],
)
def test_an_address_that_no_request_can_go_to(address, words):
    said = faults({"source": {"path": "x"}, "generate": {"llm": {"provider": "openai", "base_url": address}}})
    of_one = faults({"source": {"path": "x"}, "generate": {"llm": {"provider": "openai"}, "llms": [{}, {"base_url": address}]}})
    assert "generate.llm.base_url: " in said
    assert "generate.llms.1.base_url: " in of_one
    for words_said in (said, of_one):
        assert words in words_said
        assert "me:pass" not in words_said


@pytest.mark.parametrize("address", ["http://[::1]:8000/v1", "https://x.y./v1", "http://localhost/v1?api-version=1"])
def test_an_address_that_requests_go_to(address):
    cfg = validate({"source": {"path": "x"}, "generate": {"llm": {"provider": "openai", "base_url": address}}})
    assert cfg.generate.llm.base_url == address


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"generate": {"llm": {"headers": {"api-key": "AZURE_KEY"}}}}, "headers is set and provider is 'embedded'"),
        ({"generate": {"llm": {"api_key_env": "MY_KEY"}}}, "api_key_env is set and provider is 'embedded'"),
        ({"generate": {"imported": {"label_column": "label"}}}, r"imported is set \(label_column\), but imported.path is not"),
        ({"generate": {"copy_overlap": 0.5, "gates": ["form"]}}, "copy_overlap is 0.5, but gates leaves 'copied' out"),
        ({"source": {"path": "x", "label_separator": ";"}}, "label_separator is set, and label_column is not"),
        (
            {"source": {"path": "x", "label_column": "l", "label_separator": ";", "label_bins": [1]}},
            "label_bins and label_separator are both set",
        ),
    ],
)
def test_a_key_that_another_leaves_without_effect_is_an_error(sections, words):
    with pytest.raises(ConfigError, match=words):
        validate({"source": {"path": "x"}} | sections)


@pytest.mark.parametrize(("encoding", "byte"), [("utf-16", "0xff at 0"), ("latin-1", "0xe9 at 22")])
def test_a_file_of_another_encoding_is_told_to_be_saved_as_utf_8(encoding, byte, tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("source: {path: caf-caf\u00e9.csv}\n", encoding=encoding)
    with pytest.raises(ConfigError, match=rf"my\.yaml: is not UTF-8 \(byte {byte}\); save it as UTF-8"):
        read_yaml(path)
