"""The closing lines of a run, from the summaries in its manifest."""

import io

from synalign_spark.config import Config
from synalign_spark.console import Console
from synalign_spark.pipeline.terminal import Terminal, closing_lines

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
    "classifier_held_out_rows": 54,
    "classifier_gain": 0.045,
    "classifier_gain_standard_error": 0.061,
    "classifier_gain_beside_real": 0.002,
    "classifier_gain_beside_real_standard_error": 0.03,
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
    assert shown["Classifier accuracy"] == (
        "64.8% without, 69.3% with weights (+4.5 points +- 6.1); 76.2% trained on real rows, 76.4% on both (+0.2 points +- 3.0), "
        "on 54 held-out real rows"
    )
    assert shown["Real rows"].startswith("8,530 accepted")
    assert shown["Effective size"] == "131 of 300 rows"
    assert list(shown)[-1] == "Verdict"


def test_what_was_drawn_is_said_with_the_mixing_weight_that_is_used():
    drawn = {"rows_synthetic": 300, "distinct_synthetic": 300, "mixing_weight": 300.0, "weights_represented": 0.86}
    summaries = {
        "ingest": {"rows_accepted": 1, "rejected_by_reason": {}},
        "generate": {"accepted": 1},
        "align": ALIGN,
        "resample": drawn,
        "report": {},
    }
    shown = dict(closing_lines({name: {"seconds": 1.0, "summary": summary} for name, summary in summaries.items()}))
    assert shown["Drawn rows"] == (
        "300 (300 different), counting as 300 real ones; each counted as one they represent 86% of the weights, with sample_weight all"
    )


def test_a_distance_that_nobody_could_measure_is_said_to_be_unknown():
    """Weights of 330 and 1 leave so few effective rows that none is held out."""
    unknown = ALIGN | {"mmd2_before": None, "mmd2_after": None, "n_real_holdout": 0}
    summaries = {"ingest": {"rows_accepted": 1, "rejected_by_reason": {}}, "generate": {"accepted": 1}, "align": unknown, "report": {}}
    shown = dict(closing_lines({name: {"seconds": 1.0, "summary": summary} for name, summary in summaries.items()}))
    assert shown["MMD\u00b2 held out"] == "not known: too few real rows, by their weights, to hold any out"


def test_the_rounds_of_a_loop_are_told_with_what_ended_it():
    rounds = [{"mmd2": 0.006, "stopped_by": None}, {"mmd2": 0.003, "stopped_by": "limits.max_requests"}]
    summaries = {
        "ingest": {"rows_accepted": 1, "rejected_by_reason": {}},
        "generate": {"accepted": 1},
        "align": ALIGN,
        "rounds": {"rounds_over": rounds, "stopped_by": "limits.max_requests"},
        "report": {},
    }
    shown = dict(closing_lines({name: {"seconds": 1.0, "summary": summary} for name, summary in summaries.items()}))
    assert (
        shown["Rounds"]
        == "2; ended because the generation was ended by limits.max_requests; MMD\u00b2 held out by round: 0.006000, 0.003000"
    )


def closed(left):
    sink = io.StringIO()
    cfg = Config.model_validate({"source": {"path": "x"}})
    Terminal(Console(file=sink, width=80, force_terminal=False)).closing(cfg, {"align": {"summary": ALIGN, "seconds": 1.0}}, left)
    return sink.getvalue().split("\n")


def test_one_stage_alone_ends_with_its_verdict_and_what_is_left():
    assert closed(["resample", "report"])[:2] == ["  verdict: closer", "  left to run: resample, report"]
    assert closed(["align", "report"])[:1] == ["  left to run: align, report"], "the verdict is that of other rows"


def test_a_run_without_a_classifier_has_no_line_for_it():
    assert "Classifier accuracy" not in lines({"classifier_skipped": "no labels"})


def test_an_address_with_a_secret_and_words_in_colons_among_styles():
    sink = io.StringIO()
    console = Console(file=sink, width=100, force_terminal=False)
    Terminal(console).plan(Config.model_validate({"source": {"path": "x"}, "lake": {"path": "s3a://me:hunter2@bucket/lake"}}), [], [])
    console.print("[bold]label[/] :x: of https://host/x.csv?sig=hunter2 \u061cso")
    said = sink.getvalue()
    assert "in s3a://[hidden]@bucket/lake (delta)" in said
    assert "label :x: of https://host/x.csv?[hidden]" in said
    assert "hunter2" not in said
    assert "\u061c" not in said
