"""The closing lines of a run, from the summaries in its manifest."""

from synalign_spark.pipeline.terminal import closing_lines

ALIGN = {
    "mmd2_before": 0.05,
    "mmd2_after": 0.02,
    "n_real_holdout": 1_741,
    "ess": 131.4,
    "n_synthetic": 300,
    "verdict": "closer",
}
CLASSIFIER = {
    "classifier_accuracy_uniform": 0.648,
    "classifier_accuracy_weighted": 0.693,
    "classifier_accuracy_real": 0.762,
    "classifier_accuracy_real_and_synthetic": 0.764,
}


def lines(report):
    summaries = {
        "ingest": {"rows_accepted": 8_530, "rejected_by_reason": {}},
        "generate": {"accepted": 300, "refused": {"copied": 29}, "calls": {"ok": 123}, "prompt_tokens": 40_000, "completion_tokens": 1_428},
        "align": ALIGN,
        "report": report,
    }
    return dict(closing_lines({name: {"seconds": 10.0, "summary": summary} for name, summary in summaries.items()}))


def test_the_figures_of_a_run():
    shown = lines(CLASSIFIER)
    assert shown["Classifier accuracy"] == "64.8% without, 69.3% with weights; 76.2% trained on real rows, 76.4% on both"
    assert shown["Real rows"].startswith("8,530 accepted")
    assert shown["Effective size"] == "131 of 300 rows"
    assert list(shown)[-1] == "Verdict"


def test_a_run_without_a_classifier_has_no_line_for_it():
    assert "Classifier accuracy" not in lines({"classifier_skipped": "no labels"})
