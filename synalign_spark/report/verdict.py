"""The result of a run for somebody who reads nothing else: a signal, one sentence, three numbers; and the sentences behind them."""

import math
from dataclasses import dataclass

from synalign_spark.formatting import number, points, share_interval
from synalign_spark.report.findings import Findings, Gain, Row

NORMAL_95 = 1.96
USE, CARE, DO_NOT = "Use them", "With care", "Do not use them"  # green, amber and red; the words say it without colours
COLOURS = {USE: "use", CARE: "care", DO_NOT: "do-not"}  # their names in the style sheet


@dataclass(frozen=True)
class Figure:
    """One of the three numbers. question: what it answers; answer: the number, with its interval where it has one; meaning: of what."""

    question: str
    answer: str
    meaning: str


def signal(findings: Findings) -> str:
    """USE where models gained beyond chance, DO_NOT where the certificate says so, else CARE; empty before alignment."""
    overall = findings.overall
    if overall is None:
        return ""
    if not overall["mixing_weight"] or str(overall["verdict"]).startswith("do not use"):
        return DO_NOT
    gain, error = overall.get("gain"), overall.get("gain_error")
    return USE if gain is not None and error is not None and gain > 2 * error and round(100 * gain, 1) > 0 else CARE


def headline(findings: Findings) -> str:
    """What to do with the rows and why, the first clause of the certificate."""
    overall = findings.overall
    if overall is None:
        return "The synthetic rows have not been aligned yet: there is no certificate."
    return _sentence(_clauses(overall)[0])


def three_figures(findings: Findings) -> list[Figure]:
    """Does it help, how close, what did it cost; none before alignment."""
    overall, generated = findings.overall, findings.generation
    if overall is None:
        return []
    tokens, cost = generated.prompt_tokens + generated.completion_tokens, generated.cost_usd
    spent = f"{cost:,.2f} USD" if cost is not None else f"{tokens:,} tokens" if generated.n_calls else "nothing here"
    rows = f"for {generated.accepted:,} rows"
    return [
        Figure("Does it help?", _gain(overall), "accuracy of models trained on real and synthetic rows, over real rows alone"),
        Figure(
            "How close?",
            share_interval(overall["closed_share"], overall["closed_share_low"], overall["closed_share_high"]),
            "of the distance to real rows that nobody was shown is closed by the weights",
        ),
        Figure(
            "What did it cost?",
            spent,
            f"{rows} in {generated.n_calls:,} calls" if generated.n_calls else f"{rows}, which were there already",
        ),
    ]


def sentences(findings: Findings) -> list[str]:
    """What is behind the headline, in plain sentences: the certificate's figures, effective rows, downstream check, generation, coverage."""
    figures = [_sentence(clause) for clause in _clauses(findings.overall)[1:]] if findings.overall else []
    found = [*figures, _effective(findings), _downstream(findings), _generation(findings), _coverage(findings)]
    return [sentence for sentence in found if sentence]


def _clauses(overall: Row) -> list[str]:
    """The verdict in its parts; what stands in brackets stays together.

    >>> _clauses({"verdict": "use these rows; they can be told (p = 0.01; it finds 0.2)."})
    ['use these rows', 'they can be told (p = 0.01; it finds 0.2)']
    """
    parts: list[str] = []
    for piece in str(overall["verdict"]).rstrip(".").split("; "):
        if parts and parts[-1].count("(") > parts[-1].count(")"):
            parts[-1] += f"; {piece}"
        else:
            parts.append(piece)
    return parts


def signs(text: str) -> str:
    """A text of the certificate with the signs that a terminal may lack.

    >>> signs("MMD^2 0.01 +- 0.002")
    'MMD² 0.01 ±0.002'
    """
    return text.replace("+- ", "±").replace("MMD^2", "MMD²")


def interval(gain: Gain) -> str:
    """The 95% interval of a gain in points.

    >>> interval(Gain(0.02, 0.01))
    '0.0 to +4.0'
    """
    return f"{points(gain.accuracy - NORMAL_95 * gain.error)} to {points(gain.accuracy + NORMAL_95 * gain.error)}"


def _sentence(clause: str) -> str:
    return f"{signs(clause[:1].upper() + clause[1:])}."


def _gain(overall: Row) -> str:
    gain, error = overall.get("gain"), overall.get("gain_error")
    if gain is None or error is None:
        return "not known"
    return f"{points(gain)} points ({interval(Gain(gain, error))})"


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
    alone = (
        f"A downstream classifier trained on the synthetic rows names the label of {check.n_holdout:,} held-out real rows right in {uniform:.1%} of cases "
        f"unweighted and {weighted:.1%} weighted: {_compared(check.gain, 'with the weights')}; trained on real rows it reaches {real:.1%}"
    )
    if (
        findings.overall and findings.overall.get("gain") is not None
    ):  # whether the rows help beside real ones is said once, by the certificate
        return f"{alone}."
    return f"{alone}, on real and synthetic rows {both:.1%}: {_compared(check.gain_beside_real, 'with the synthetic rows')}."


def _compared(gain: Gain, what: str) -> str:
    margin = NORMAL_95 * gain.error
    if abs(gain.accuracy) <= margin or math.isnan(margin):
        finding = "no difference beyond chance"
    else:
        finding = f"{'better' if gain.accuracy > 0 else 'worse'} {what}"
    return f"{finding} ({points(gain.accuracy)} points, 95% within ±{margin * 100:.1f})"


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
