"""Fifty rows of the embedded model, each held to a checker of form that knows nothing of the gates."""

import hashlib
import re

import pyarrow as pa
import pytest

from synalign_spark.config import GenerateConfig
from synalign_spark.config.language_model import EMBEDDED_MODELS
from synalign_spark.generation.engine import generate
from tests.pipeline.films import film_reviews

LABELS = {"negative": "0", "positive": "1"}  # and how the package names them
ROWS, SETS_A_LABEL, ROWS_A_SET = 50, 10, 3
# What the first quickstart accepted, and other kinds of no sentence.
BAD = [
    "positive.txt:negative.txt", "positive_view_of_the_world", "negative_text_2", "negative", "Positive: a fine film about trains .",
    "- a fine film about trains .", "1. a fine film about trains .", '{"rows": ["a fine film"]}', "a fine film<|im_end|> about trains .",
    "I'm sorry, but I can't help with that request.", "Here are five new and different texts:", "a fine film\nabout trains .",
    "film film film film film film film .", "10 / 10 - 5 * 3 = 35 , 20 , 15", "see http://films.example/trains for a fine film .",
    "a fine film about jane@example.org", "the the", "Each line is a sentence from a film review:",
]  # fmt: skip
META = re.compile(r"(i'm sorry|i cannot|as an ai|sure[,!]|here (is|are)|each line|the following|write )", re.IGNORECASE)


def faults(row):
    """What keeps a text from being a sentence of a film review in form."""
    words = [word for word in row.split() if re.search(r"\w", word)]  # the corpus sets blanks round its punctuation
    letters = [word.strip(".,;:!?'\"()-").casefold() for word in words if re.search(r"[^\W\d_]", word)]
    found = {
        "several lines": "\n" in row or row != row.strip(),
        "fewer than three words": len(letters) < 3,
        "mostly no words": len(letters) < 0.6 * len(words),
        "a name as in code": re.search(r"\w_\w|\w\.(txt|csv|json|py)\b|://|@\w", row),
        "markup or JSON": re.search(r"<\|?/?\w|[{}]|^```", row),
        "a list mark": re.match(r"([-*\u2022>#]|\d+[.)])\s", row),
        "a label announced": re.match(rf"\W*({'|'.join(LABELS)})\W*(:|$)", row, re.IGNORECASE),
        "talk of the task": META.match(row),
        "one word over and over": letters and len(set(letters)) <= len(letters) / 3,
        "an announcement": row.endswith(":"),
    }
    return [name for name, there in found.items() if there]


@pytest.mark.parametrize("text", BAD)
def test_the_checker_finds_what_is_no_sentence(text):
    assert faults(text)


def test_the_checker_leaves_real_sentences():
    rows = [row["text"].strip() for row in film_reviews()[::20]]
    assert sum(bool(faults(row)) for row in rows) <= 0.03 * len(rows), [row for row in rows if faults(row)]


def demonstrations():
    """Real sentences, in sets of one label."""
    rows = []
    for label, named in LABELS.items():
        texts = [row["text"].strip() for row in film_reviews() if row["label"] == named][::40][: SETS_A_LABEL * ROWS_A_SET]
        for place, text in enumerate(texts):
            where = {"round": 0, "label": label, "set_rank": place // ROWS_A_SET, "cluster_id": place // ROWS_A_SET}
            doc_id = hashlib.sha256(text.encode()).hexdigest()
            rows.append(where | {"rank_in_set": place % ROWS_A_SET, "doc_id": doc_id, "text": text, "posterior_sd": 1.0})
    return pa.Table.from_pylist(rows)


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(EMBEDDED_MODELS))
def test_fifty_rows_are_sentences_in_form(model, quiet, tmp_path):
    cfg = GenerateConfig(
        task="a sentence from a {label} film review",
        strategy="fewshot",
        target_rows=ROWS,
        rows_per_request=1,
        max_rows_per_set=6,
        llm={"model": model, "max_output_tokens": 80, "backend": "in_process", "concurrency": 4},
    )
    result = generate(demonstrations(), dict.fromkeys(LABELS, 1), cfg, 0, str(tmp_path / "ledger"), quiet, str(tmp_path))
    texts = result.synthetic["text"].to_pylist()
    assert len(texts) == len(set(texts)) == ROWS
    assert not {text: found for text in texts if (found := faults(text))}
