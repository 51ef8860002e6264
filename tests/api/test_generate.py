"""``generate`` as a user calls it, against a server on loopback."""

import doctest
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest

import synalign_spark.api.generate as module
from synalign_spark.api.generate import generate, make_config
from synalign_spark.api.select import select
from synalign_spark.errors import ConfigError, DataError, EndpointError
from synalign_spark.storage.tables import SYNTHETIC

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "generation"))  # for the tests' loopback server
from loopback import Behaviour, loopback  # noqa: E402

NO_ENGINES = """
import sys
sys.path[:0] = sys.argv[2:]
import pandas as pd
from synalign_spark.api.generate import generate
from loopback import loopback
with loopback() as server:
    rows = generate(pd.read_json(sys.argv[1]), llm=server.base_url, model="loopback", n=4, progress=False)
print(len(rows), [name for name in ("pyspark", "ray", "torch") if name in sys.modules])
"""


@pytest.fixture
def demonstrations() -> pd.DataFrame:
    """Two labels: two demonstration sets of one row, and one."""
    texts = ["a warm and witty film", "what a fine piece of work", "two hours i will never get back"]
    return pd.DataFrame(
        {
            "round": 0, "label": ["positive", "positive", "negative"], "set_rank": [0, 1, 0], "cluster_id": [7, 3, 4],
            "rank_in_set": 0, "doc_id": ["a1", "a2", "b1"], "text": texts, "posterior_sd": 1.0,
        },
        index=[5, 9, 2],
    )  # fmt: skip


def test_the_examples_run():
    with loopback() as server:
        for name in ("generate", "make_config"):
            text = vars(module)[name].__doc__.replace("http://localhost:8000/v1", server.base_url).replace("my-model", "loopback")
            example = doctest.DocTestParser().get_doctest(text, dict(vars(module)), name, None, None)
            assert doctest.DocTestRunner().run(example) == doctest.TestResults(failed=0, attempted=len(example.examples))


def test_pandas_in_pandas_out_in_the_columns_of_the_contract_and_shares_of_the_demonstrations(demonstrations):
    with loopback() as server:
        rows = generate(demonstrations, llm=server.base_url, model="loopback", n=9, progress=False, rows_per_request=3)
    assert tuple(rows.columns) == SYNTHETIC.column_names
    assert rows["label"].value_counts().to_dict() == {"positive": 6, "negative": 3}
    assert rows["doc_id"].is_unique
    assert set(rows["cluster_id"]) == {7, 3, 4}
    assert set(rows["model"]) == {"loopback"}


@pytest.mark.parametrize("label", [None, "stars"])
def test_what_select_returns_is_taken_as_it_is(label):
    reviews = pd.DataFrame(
        {"text": ["fine", "good", "bad", "dire"], "stars": [5, 5, 1, 1], "vec": [[1.0, 0.1], [1.0, 0.0], [0.0, 1.0], [0.1, 1.0]]}
    )
    demonstrations = select(reviews, n=2, label=label, embedding="vec", k=2, rows_per_set=1)
    with loopback() as server:
        rows = generate(demonstrations, llm=server.base_url, model="loopback", n=10, progress=False)
    assert rows["label"].fillna("none").value_counts().to_dict() == ({"none": 10} if label is None else {"5": 5, "1": 5})
    assert set(rows["cluster_id"]) == set(demonstrations["cluster_id"])


def test_rows_without_labels(demonstrations):
    with loopback() as server:
        rows = generate(demonstrations.assign(label=None).iloc[:1], llm=server.base_url, model="loopback", n=4, progress=False)
    assert rows["label"].isna().all()
    assert len(rows) == 4


def test_labels_without_demonstrations_are_told(demonstrations):
    with loopback() as server:
        arguments = {"llm": server.base_url, "model": "loopback", "n": 4, "progress": False}
        with pytest.warns(UserWarning, match="no rows of mixed: the demonstrations have none of that label"):
            rows = generate(demonstrations, label_counts={"positive": 2, "negative": 1, "mixed": 1}, **arguments)
    assert set(rows["label"]) == {"positive", "negative"}


def test_a_ledger_is_gone_on_with_and_a_limit_is_reported(demonstrations, tmp_path):
    with loopback() as server:
        arguments = {"llm": server.base_url, "model": "loopback", "n": 12, "ledger": str(tmp_path), "rows_per_request": 2}
        with pytest.warns(UserWarning, match=r"4 of 12 rows were accepted.*limits\.max_requests.*missing_by_label.*positive"):
            few = generate(
                demonstrations, progress=False, max_requests=5, **arguments
            )  # a probe, two attribute sets, and a call for rows from each
        rows = generate(demonstrations, progress=False, **arguments)
    assert (len(few), len(rows)) == (4, 12)
    assert max(n for i, n in server.finished.items() if i) == 1


def test_answers_that_were_paid_for_outlive_an_error(demonstrations, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with loopback() as server:
        arguments = {"llm": server.base_url, "model": "loopback", "n": 200, "strategy": "simprompt", "progress": False}
        server.behaviour.fault = lambda i, body, n: (401, {}, "") if sum(server.finished.values()) > 8 else None
        with pytest.raises(EndpointError, match="stored answers are kept") as err:
            generate(demonstrations, **arguments)
        (folder,) = tmp_path.iterdir()
        assert f"call generate again with ledger={str(folder)!r}" in err.value.__notes__[0]
        server.behaviour.fault = lambda i, body, n: None
        assert len(generate(demonstrations, ledger=str(folder), **arguments)) == 200
        assert max(n for i, n in server.finished.items() if i) == 1
        generate(demonstrations, **arguments | {"n": 5})
        with pytest.raises(ConfigError, match="label_shares"):
            generate(demonstrations, label_shares={"ugly": 1.0}, **arguments)
    assert list(tmp_path.iterdir()) == [folder]


def test_the_same_seed_gives_the_same_rows_and_another_one_others(demonstrations):
    with loopback() as server:
        first, again, other = (
            generate(demonstrations, llm=server.base_url, model="loopback", n=6, seed=seed, progress=False) for seed in (0, 0, 1)
        )
    pd.testing.assert_frame_equal(first, again)
    assert set(first["text"]).isdisjoint(other["text"])


def test_the_key_comes_from_the_environment(demonstrations, monkeypatch):
    monkeypatch.setenv("MY_KEY", "right-key")
    with loopback(Behaviour(keys=("right-key",))) as server:
        assert len(generate(demonstrations, llm=server.base_url, model="loopback", n=3, api_key_env="MY_KEY", progress=False)) == 3


def test_pandas_needs_no_spark_no_ray_and_no_torch(demonstrations, tmp_path):
    demonstrations.to_json(tmp_path / "demonstrations.json")
    command = [sys.executable, "-c", NO_ENGINES, str(tmp_path / "demonstrations.json"), str(ROOT), str(ROOT / "tests" / "generation")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "4 []"


def test_options_go_where_they_belong():
    cfg = make_config({"temperature": 0.5, "max_tokens": 99, "min_chars": 3}, "embedded", None, 7, "ray")
    assert (cfg.target_rows, cfg.min_chars, cfg.llm.temperature, cfg.limits.max_tokens) == (7, 3, 0.5, 99)
    assert (cfg.llm.provider, cfg.llm.backend) == ("embedded", "ray")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temprature": 1.0}, r"unknown option temprature=1.0; did you mean temperature\?"),
        ({"api_key": "sk-secret"}, r"unknown option api_key=a hidden value; did you mean api_key_env\?"),
        ({"target_rows": 3}, "target_rows=3 is not an option here; give n"),
        ({"qqq": 3}, "unknown option qqq=3; known here: actors, api, api_key_env,"),
        ({"temperature": 9}, r"generate.llm.temperature: got 9"),
        ({"strategy": "imported"}, "strategy='imported' writes no rows"),
        ({"model": None}, "model is None; name the model"),
        ({"llm": "localhost:8000"}, "generate.llm.base_url: got 'localhost:8000'"),
        ({"n": 0}, "generate.target_rows: got 0"),
    ],
)
def test_wrong_options_are_named(options, message, demonstrations):
    arguments = {"llm": "http://127.0.0.1:9/v1", "model": "m", "n": 5} | options
    with pytest.raises(ConfigError, match=message) as err:
        generate(demonstrations, **arguments)
    assert "sk-secret" not in str(err.value)


def test_demonstrations_that_cannot_be_used(demonstrations):
    arguments = {"llm": "http://127.0.0.1:9/v1", "model": "m", "n": 5}
    with pytest.raises(DataError, match=r"lack the columns set_rank, text; give what select\(\) returned"):
        generate(demonstrations.drop(columns=["text", "set_rank"]), **arguments)
    with pytest.raises(DataError, match="1 to 100,000 rows, got 0"):
        generate(demonstrations.iloc[:0], **arguments)
    with pytest.raises(DataError, match="must be a pandas or a Spark DataFrame, got builtins.list"):
        generate([], **arguments)
    with pytest.raises(DataError, match="demonstrations: text is null in 1 of 3 rows; leave these rows out, or fill it"):
        generate(demonstrations.assign(text=["a film", None, "another"]), **arguments)
    with pytest.raises(DataError, match="set_rank is null in 2 of 3 rows"):
        generate(demonstrations.assign(set_rank=[0, None, float("nan")]), **arguments)
    with pytest.raises(DataError, match="label is empty in 1 of 3 rows.*or None for rows without a label"):
        generate(demonstrations.assign(label=["positive", " ", "negative"]), **arguments)
    with pytest.raises(ConfigError, match="label_counts has an empty label"):
        generate(demonstrations, label_counts={"positive": 3, "": 2}, **arguments)
    with pytest.raises(DataError, match="another type"):
        generate(demonstrations.assign(set_rank="first"), **arguments)


def test_spark_in_spark_out_with_the_rows_of_pandas(spark, demonstrations):
    with loopback() as server:
        arguments = {"llm": server.base_url, "model": "loopback", "n": 6, "progress": False}
        frame = spark.createDataFrame(demonstrations).repartition(3)
        got, wanted = generate(frame, **arguments), generate(demonstrations, **arguments)
    assert tuple(got.columns) == SYNTHETIC.column_names
    assert got.toArrow().sort_by("doc_id")["text"].to_pylist() == list(wanted.sort_values("doc_id")["text"])
