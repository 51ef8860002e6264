"""A replay of an online test: two rankers share one list, simulated users click, and the ranker whose documents are clicked more wins.

Lists are made by team-draft interleaving (Radlinski, Kurup & Joachims 2008). Users are those of the dependent click model (Guo, Liu &
Wang 2009): they read from the top, click a document with a chance that depends on whether it is relevant, and stop after a click with
another one. The chances are those of Hofmann, Schuth, Whiteson & de Rijke (2013). Relevant is what has a grade above 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .beir import Judgements

LENGTH = 10


@dataclass(frozen=True)
class ClickModel:
    """Chances for documents that are not relevant and for those that are: of a click, and of stopping after one."""

    click: tuple[float, float]
    stop: tuple[float, float]


CLICK_MODELS = {
    "perfect": ClickModel((0.0, 1.0), (0.0, 0.0)),
    "navigational": ClickModel((0.05, 0.95), (0.2, 0.9)),
    "informational": ClickModel((0.4, 0.9), (0.1, 0.5)),
}


def team_draft(
    first: Sequence[str], second: Sequence[str], rng: np.random.Generator, length: int = LENGTH
) -> tuple[list[str], list[int]]:  # fmt: skip
    """A list of both rankings, and the team of each place: 1 for the first, -1 for the second.

    In each round a coin says who picks first; a pick is the team's best document that is not in the list yet.

    >>> team_draft(["a", "b"], ["a", "c"], np.random.default_rng(1), 2)
    (['a', 'b'], [-1, 1])
    """
    lists = {1: list(first), -1: list(second)}
    shown: list[str] = []
    teams: list[int] = []
    while len(shown) < length:
        before = len(shown)
        start = 1 if rng.random() < 0.5 else -1
        for team in (start, -start):
            pick = next((document for document in lists[team] if document not in shown), None)
            if pick is not None and len(shown) < length:
                shown.append(pick)
                teams.append(team)
        if len(shown) == before:
            break
    return shown, teams


def clicked(relevant: Sequence[bool], model: ClickModel, rng: np.random.Generator) -> list[int]:
    """The places that one user clicks. relevant: of each place of the list.

    >>> clicked([False, True, True], CLICK_MODELS["perfect"], np.random.default_rng(0))
    [1, 2]
    """
    places = []
    for place, good in enumerate(relevant):
        if rng.random() < model.click[good]:
            places.append(place)
            if rng.random() < model.stop[good]:
                break
    return places


def replay(
    first: dict[str, list[str]], second: dict[str, list[str]], judgements: Judgements, model: ClickModel, sessions: int, seed: int
) -> npt.NDArray[np.int64]:  # fmt: skip
    """(sessions,) outcomes: 1 where the first ranker's documents had more clicks, -1 the second's, 0 for as many.

    first, second: rankings by query. Each session is one query, drawn with replacement: what a test of the outcomes says is about
    these queries, not about others."""
    rng = np.random.default_rng([seed, 0x1D])
    names = sorted(judgements)
    outcomes = np.zeros(sessions, dtype=np.int64)
    for session in range(sessions):
        name = names[int(rng.integers(len(names)))]
        shown, teams = team_draft(first[name], second[name], rng)
        relevant = [judgements[name].get(document, 0) > 0 for document in shown]
        outcomes[session] = np.sign(sum(teams[place] for place in clicked(relevant, model, rng)))
    return outcomes
