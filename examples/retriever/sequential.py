"""A sequential test of two rankers by sessions that one of them wins. It may be looked at after every session.

Under the null hypothesis each decided session is won by either with chance 1/2. The evidence against it is the likelihood of the wins
under a chance p drawn from Beta(PRIOR, PRIOR), over that under 1/2. Under the null it is a martingale of mean 1, so the chance
that it ever reaches 1/alpha is at most alpha (Ville's inequality; Robbins 1970).

Stopping rule: after each session, stop where the evidence is at least 1/alpha, and prefer the ranker with more wins; stop without a
decision after the agreed number of sessions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaln

ALPHA = 0.05
PRIOR = 30.0  # chances of 0.5 +- 0.065 (one standard deviation): differences that are worth a test


@dataclass(frozen=True)
class Decision:
    """winner: 1 or -1, 0 for none. sessions: until it stopped; evidence: at its end."""

    winner: int
    sessions: int
    wins: int
    losses: int
    evidence: float


def log_evidence(wins: npt.NDArray[np.int64], losses: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Log of the evidence after so many won and lost sessions, of any one shape.

    >>> np.exp(log_evidence(np.array([0, 1]), np.array([0, 0]))).round(6).tolist()
    [1.0, 1.0]
    """
    found: npt.NDArray[np.float64] = betaln(PRIOR + wins, PRIOR + losses) - betaln(PRIOR, PRIOR) + (wins + losses) * np.log(2)
    return found


def decide(outcomes: npt.NDArray[np.int64], alpha: float = ALPHA) -> Decision:
    """The stopping rule on sessions in their order, of which the last is the last that was agreed on.

    outcomes: (n,) 1 for a win, -1 for a loss, 0 for a tie, which says nothing. Raises ValueError for an alpha outside of 0 to 1.

    >>> decide(np.ones(100, dtype=np.int64)).winner, decide(np.tile([1, -1], 50)).winner
    (1, 0)
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha}; 0.05 is usual")
    if not len(outcomes):
        return Decision(0, 0, 0, 0, 1.0)
    wins, losses = np.cumsum(outcomes == 1), np.cumsum(outcomes == -1)
    evidence = log_evidence(wins, losses)
    over = evidence >= -np.log(alpha)
    last = int(over.argmax()) if over.any() else len(outcomes) - 1
    winner = int(np.sign(wins[last] - losses[last])) if over.any() else 0
    return Decision(winner, last + 1, int(wins[last]), int(losses[last]), float(np.exp(evidence[last])))
