"""The parts of the retriever example, against answers by hand, other implementations and known parameters."""

import gzip
import itertools
import json

import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score

from examples.retriever import beir, comparison, interleaving, measures, queries, training
from examples.retriever.package_corpus import package_corpus

CORPUS = [{"_id": "d1", "title": "Wings", "text": "of  birds"}, {"_id": "d2", "text": "heat"}, {"_id": "d3", "title": "", "text": "flow"}]
QUERIES = [
    {"_id": f"q{i}", "text": text} for i, text in enumerate(("how do birds fly", "what is heat", "where does it flow", "What is heat"))
]


def write_beir(folder, judged, packed=False):
    """A folder in BEIR layout. judged: lines by file name."""
    for name, rows in (("corpus.jsonl", CORPUS), ("queries.jsonl", QUERIES)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_text(text)
    for name, lines in judged.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n")


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_with_train_and_test(tmp_path, packed):
    write_beir(tmp_path, {"qrels/test.tsv": ["q1\td2\t2", "q1\td1\t0"], "qrels/train.tsv": ["q0\td1\t1", "q0\tgone\t1"]}, packed)
    found = beir.read(tmp_path, n_real=1)
    assert found.documents == {"d1": "Wings of birds", "d2": "heat", "d3": "flow"}
    assert found.queries == {"q1": "what is heat"}
    assert found.judgements == {"q1": {"d2": 2}}, "grade 0 is not relevant"
    assert found.real == {"q0": "how do birds fly", "q2": "where does it flow"}, "q3 has the words of q1, which judges"
    assert found.real_judgements == {"q0": {"d1": 1}}


def test_the_queries_of_one_file_are_parted(tmp_path):
    write_beir(tmp_path, {"qrels.tsv": ["q0\td1\t1", "q1\td2\t1", "q2\td3\t1"]})
    found = beir.read(tmp_path, n_real=1)
    assert (len(found.queries), len(found.real)) == (2, 1)
    assert not set(found.queries) & set(found.real)


@pytest.mark.parametrize(
    ("missing", "said"), [("corpus.jsonl", "corpus.jsonl.gz"), ("queries.jsonl", "queries.jsonl.gz"), ("qrels.tsv", "qrels/test.tsv")]
)
def test_a_missing_file_is_named(tmp_path, missing, said):
    write_beir(tmp_path, {"qrels.tsv": ["q0\td1\t1"]})
    (tmp_path / missing).unlink()
    with pytest.raises(ValueError, match=said):
        beir.read(tmp_path, n_real=0)


def test_judgements_of_other_ids_are_an_error(tmp_path):
    write_beir(tmp_path, {"qrels.tsv": ["17\td1\t1"]})
    with pytest.raises(ValueError, match="check the ids"):
        beir.read(tmp_path, n_real=0)


def test_the_packaged_corpus_hides_a_querys_words_from_its_page():
    found = package_corpus(n_real=20, n_documents=120)
    assert len(found.real) == 20
    assert len(found.queries) > 50
    for name, text in found.queries.items():
        for document in found.judgements[name]:
            assert text.casefold().strip(" .") not in found.documents[document].casefold()


def test_measures_by_hand():
    """q: grades 3, 0, 1 at the first three places and one relevant document that is not found."""
    judgements = {"q": {"a": 3, "c": 1, "e": 1}, "r": {"a": 1}, "s": {"z": 1}, "t": {"z": 1}}
    rankings = {"q": ["a", "b", "c", "d"], "r": ["b", "a"], "s": ["a", "b"]}
    found = measures.per_query(rankings, judgements)
    ideal = 3 + 1 / np.log2(3) + 1 / 2
    assert found.loc["q"].tolist() == pytest.approx([2 / 3, (3 + 1 / 2) / ideal, 1.0])
    assert found.loc["r"].tolist() == pytest.approx([1.0, 1 / np.log2(3), 0.5])
    assert found.loc["s":"t"].to_numpy().tolist() == [[0.0] * 3] * 2, "a query for which nothing, or nothing relevant, is found counts"


def test_ndcg_is_that_of_scikit_learn():
    rng = np.random.default_rng(3)
    ids = [f"d{i}" for i in range(30)]
    x, y = rng.normal(size=(5, 8)).astype(np.float32), rng.normal(size=(30, 8)).astype(np.float32)
    grades = rng.integers(0, 4, size=(5, 30))
    judgements = {f"q{i}": {ids[j]: int(g) for j, g in enumerate(row) if g} for i, row in enumerate(grades)}
    found = measures.per_query(measures.search(list(judgements), x, y, ids), judgements)
    expected = [ndcg_score(grades[i : i + 1], x[i : i + 1] @ y.T, k=10) for i in range(5)]
    assert found["ndcg@10"].to_numpy() == pytest.approx(expected)


def test_the_paired_bootstrap_covers_the_mean():
    """300 samples of 60 skewed differences of a known mean: its 95% intervals hold it in 95 of 100, a little less by the skew."""
    rng = np.random.default_rng(5)
    held = 0
    for seed in range(300):
        first = rng.exponential(1.0, size=60)
        _, low, high = measures.paired_difference(first, np.full(60, 0.8), seed)
        held += low <= 0.2 <= high
    assert 0.90 <= held / 300 <= 0.98


def test_pairing_counts():
    """Queries differ far more than the rankers do: only paired is the difference seen."""
    rng = np.random.default_rng(6)
    easy = rng.uniform(size=80)
    mean, low, high = measures.paired_difference(easy + 0.02 + rng.normal(scale=0.02, size=80), easy)
    assert 0.01 < low < mean < high < 0.03
    with pytest.raises(ValueError, match="as many queries"):
        measures.paired_difference([1.0, 2.0], [1.0])


def batch(n=6, width=5, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, width, requires_grad=True), torch.randn(n, width, requires_grad=True)


def test_with_equal_weights_it_is_the_loss_of_sentence_transformers():
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    q, d = batch()
    expected = MultipleNegativesRankingLoss(None, scale=20.0).compute_loss_from_embeddings([q, d], None)
    assert training.weighted_loss(q, d, torch.ones(6)).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_pair_of_weight_zero_has_no_influence():
    q, d = batch()
    weights = torch.tensor([1.0, 0.0, 2.0, 1.0, 0.5, 1.5])
    loss = training.weighted_loss(q, d, weights)
    loss.backward()
    assert not q.grad[1].any()
    assert not d.grad[1].any()
    rest = [0, 2, 3, 4, 5]
    without = training.weighted_loss(q[rest], d[rest], weights[rest])
    assert 6 * loss.item() == pytest.approx(5 * without.item(), rel=1e-6)


def test_a_pair_of_weight_two_is_the_pair_twice():
    q, d = batch()
    twice = [0, 1, 1, 2, 3, 4, 5]
    same = torch.tensor([[a == b for b in twice] for a in twice])
    repeated = training.weighted_loss(q[twice], d[twice], torch.ones(7), same)
    weighted = training.weighted_loss(q, d, torch.tensor([1.0, 2.0, 1.0, 1.0, 1.0, 1.0]))
    assert 6 * weighted.item() == pytest.approx(7 * repeated.item(), rel=1e-6)


def test_an_adapter_learns_from_the_pairs_that_count():
    """Half the pairs map queries to their own document, half to one turned round; the weights say which are true."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 16)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    turn = np.linalg.qr(rng.normal(size=(16, 16)))[0].astype(np.float32)
    documents = np.concatenate([x[:100] @ turn, x[100:] @ turn.T])
    how = training.Training(epochs=60, batch=50, rate=1e-2)
    names = [str(i) for i in range(200)]
    for true, false in ((slice(0, 100), slice(100, 200)), (slice(100, 200), slice(0, 100))):
        weights = np.zeros(200)
        weights[true] = 2.0
        matrix = training.tune_adapter(x, documents, names, weights, how)
        found = [np.mean((x[half] @ matrix @ documents[half].T).argmax(axis=1) == np.arange(100)) for half in (true, false)]
        assert found[0] > 0.9
        assert found[1] < 0.3


def test_weights_undo_a_known_bias():
    """Real queries are of three topics by 50, 30 and 20 %, synthetic ones by 10, 30 and 60 %: the weights' shares are the real ones."""
    rng = np.random.default_rng(2)
    centres = np.linalg.qr(rng.normal(size=(24, 24)))[0][:3]
    words = [["wing", "lift", "drag"], ["heat", "plate", "flux"], ["shock", "wave", "gas"]]

    def texts(n, shares):
        topics = rng.choice(3, size=n, p=shares)
        return topics, [f"{' '.join(rng.permutation(words[t]))} {place} {rng.integers(10**6)}" for place, t in enumerate(topics)]

    def encode(rows):
        topic = np.array([next(t for t, known in enumerate(words) if known[0] in row.split()) for row in rows])
        x = centres[topic] + 0.1 * np.random.default_rng(len(rows)).normal(size=(len(rows), 24))
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    _, real = texts(200, [0.5, 0.3, 0.2])
    topics, synthetic = texts(600, [0.1, 0.3, 0.6])
    weight, _ = comparison.weigh(real, synthetic, encode)
    assert weight.mean() == pytest.approx(1.0)
    shares = np.bincount(topics, weights=weight, minlength=3) / weight.sum()
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.08)


def test_team_draft_by_hand():
    first, second = ["a", "b", "c", "d"], ["b", "a", "e", "f"]
    seen = set()
    for seed in range(60):
        shown, teams = interleaving.team_draft(first, second, np.random.default_rng(seed), length=4)
        assert sum(teams) == 0
        assert all(teams[place] == -teams[place + 1] for place in (0, 2)), "each round has a pick of both"
        seen.add("".join(shown))
    assert seen == {"abce", "baec", "abec", "bace"}
    assert interleaving.team_draft(["a"], ["a"], np.random.default_rng(0))[0] == ["a"], "lists that end end it"


def test_users_of_the_click_model_click_as_it_says():
    """Chances of the first two places, by hand: the second is reached unless the first was clicked and the user stopped."""
    model = interleaving.CLICK_MODELS["informational"]
    rng = np.random.default_rng(7)
    clicks = np.zeros(2)
    for _ in range(20_000):
        for place in interleaving.clicked([True, False], model, rng):
            clicks[place] += 1
    assert clicks / 20_000 == pytest.approx([0.9, (1 - 0.9 * 0.5) * 0.4], abs=0.01)


def test_a_replay_finds_the_better_ranker_and_has_no_favourite():
    judgements = {f"q{i}": {"good": 1} for i in range(5)}
    better, worse = (dict.fromkeys(judgements, order) for order in (["good", "x", "y", "z"], ["x", "y", "z", "good"]))
    model = interleaving.CLICK_MODELS["navigational"]
    won = interleaving.replay(better, worse, judgements, model, 500, seed=0)
    assert won.mean() > 0.3
    lost = interleaving.replay(worse, better, judgements, model, 500, seed=0)
    assert lost.mean() < -0.3
    same = interleaving.replay(better, better, judgements, model, 4_000, seed=0)
    assert abs(same.mean()) < 3 * same.std() / np.sqrt(len(same))


def judged_corpus():
    documents = {f"d{i}": f"text number {i}" for i in range(6)}
    return beir.Retrieval(documents, {"q": "asked"}, {"q": {"d0": 1}}, {"r": "known one", "s": "known two"}, {"r": {"d1": 1, "d2": 3}})


def test_demonstrations_end_with_the_document_to_ask_about():
    found = queries.demonstrations(judged_corpus(), ["d4", "d5"])
    for rank, name in enumerate(["d4", "d5"]):
        texts = found.query(f"set_rank == {rank}").sort_values("rank_in_set")["text"].tolist()
        assert texts == ["Document: text number 2 Query: known one", f"Document: text number {name[1]} Query:"]
    assert "asked" not in " ".join(found["text"]), "queries that judge are not shown"


def test_pairs_from_a_file(tmp_path):
    rows = [
        {"doc_id": "d1", "query": "a"},
        {"doc_id": "d1", "query": "a"},
        {"doc_id": "none", "query": "b"},
        {"doc_id": "d2", "query": "c", "more": 1},
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert queries.read_pairs(tmp_path / "pairs.jsonl", judged_corpus()).to_dict("list") == {"doc_id": ["d1", "d2"], "query": ["a", "c"]}
    (tmp_path / "other.jsonl").write_text('{"doc_id": "none", "query": "b"}\n')
    with pytest.raises(ValueError, match="doc_id"):
        queries.read_pairs(tmp_path / "other.jsonl", judged_corpus())


def test_batches_hold_each_pair_once_an_epoch():
    how = training.Training(epochs=2, batch=4, rate=0.1)
    found = list(training._batches(9, how, seed=1))
    assert [len(rows) for rows in found] == [4, 4, 4, 4], "a pair left over has no negatives"
    for epoch in (found[:2], found[2:]):
        assert len(set(itertools.chain.from_iterable(rows.tolist() for rows in epoch))) == 8
