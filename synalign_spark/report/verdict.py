"""The result of a run in a few sentences: what a reader should know before any table."""

import math

from synalign_spark.formatting import number
from synalign_spark.report.findings import Findings, Gain

NORMAL_95 = 1.96


def sentences(findings: Findings) -> list[str]:
    """Plain sentences, most important first: alignment, effective rows, downstream check, generation, coverage."""
    found = [_alignment(findings), _effective(findings), _downstream(findings), _generation(findings), _coverage(findings)]
    return [sentence for sentence in found if sentence]


def _alignment(findings: Findings) -> str:
    overall = findings.overall
    if overall is None:
        return "The synthetic rows have not been aligned yet: there is no certificate."
    verdict = str(overall["verdict"]).rstrip(".")
    return f"{verdict[:1].upper()}{verdict[1:]}."


def _effective(findings: Findings) -> str:
    spread = findings.weights
    if spread is None:
        return ""
    zeros = f", and {spread.zeros:,} {'row has' if spread.zeros == 1 else 'rows have'} none" if spread.zeros else ""
    return (
        f"The weighted set is worth {spread.ess:,.0f} of its {spread.rows:,} rows (effective sample size, {spread.ess / spread.rows:.0%}); "
        f"the heaviest row weighs {number(spread.largest)} times a uniform one{zeros}."
    )


def _downstream(findings: Findings) -> str:
    check = findings.downstream
    if check is None:
        return ""
    uniform, weighted, real, both = (score.accuracy for score in check.scores)
    return (
        f"A downstream classifier trained on the synthetic rows names the label of {check.n_holdout:,} held-out real rows right in {uniform:.1%} of cases "
        f"unweighted and {weighted:.1%} weighted: {_compared(check.gain, 'with the weights')}; "
        f"trained on real rows it reaches {real:.1%}, on real and synthetic rows {both:.1%}: {_compared(check.gain_beside_real, 'with the synthetic rows')}."
    )


def _compared(gain: Gain, what: str) -> str:
    margin = NORMAL_95 * gain.error
    if abs(gain.accuracy) <= margin or math.isnan(margin):
        finding = "no difference beyond chance"
    else:
        finding = f"{'better' if gain.accuracy > 0 else 'worse'} {what}"
    return f"{finding} ({gain.accuracy * 100:+.1f} points, 95% within ±{margin * 100:.1f})"


def _generation(findings: Findings) -> str:
    generated = findings.generation
    if not generated.n_calls:
        return (
            f"{generated.accepted:,} synthetic rows were brought in from an existing set; no language model was called."
            if generated.accepted
            else ""
        )
    share = f" ({generated.acceptance:.0%} of those written)" if generated.acceptance is not None else ""
    cost = f" for {generated.cost_usd:,.2f} USD" if generated.cost_usd is not None else ""
    tokens = generated.prompt_tokens + generated.completion_tokens
    return f"{generated.accepted:,} synthetic rows were accepted{share}, out of {generated.n_calls:,} calls and {tokens:,} tokens{cost}."


def _coverage(findings: Findings) -> str:
    last = {row["label"]: row for row in findings.coverage}  # in the order they were picked, so the last one stays
    if not last:
        return ""
    ends = [row["coverage_after"] for row in last.values()]
    per_label = f"{min(ends):.0%} to {max(ends):.0%} per label" if len(ends) > 1 else f"{ends[0]:.0%}"
    return f"{len(findings.coverage):,} picked clusters put {per_label} of the real rows within reach of a demonstration."
