"""How many rows a call asks for: fewer where answers do not fit into the tokens that they may take."""

from collections import Counter
from collections.abc import Mapping

from synalign_spark.config import GenerateConfig

FEWEST_CALLS, CUT_SHARE = 4, 0.5  # of one size, and the share of them cut off, from which the half is asked for


class CallSize:
    """Learnt for one label from its answers in the order of the plan, so that a run that goes on asks the same again. It never grows.

    >>> size = CallSize(10)
    >>> [size.taken(n_rows, cut=True) for n_rows in (10, 5) * 4][-2:]
    [True, True]
    >>> size.rows
    2
    """

    def __init__(self, most: int) -> None:
        """most: rows that a call is to ask for."""
        self.most = self.rows = most
        self._calls, self._cut, self._lost = Counter[int](), Counter[int](), Counter[int]()

    def taken(self, n_rows: int, cut: bool) -> bool:
        """Counts a call, those that ask again among them. n_rows: that it asked for; cut: whether its answer was cut off. Returns whether
        fewer rows are asked for from now on."""
        before = self.rows
        self._calls[n_rows] += 1
        self._cut[n_rows] += cut
        while self.rows > 1 and self._mostly_cut(self.rows):
            self.rows //= 2
        return self.rows < before

    def lose(self, n_rows: int, lost: int) -> None:
        """Counts the rows that a call for ``n_rows``, asked again or not, did not bring because answers were cut off."""
        self._lost[n_rows] += lost

    @property
    def lost(self) -> int:
        """Rows lost at sizes that are not asked for any more: they were no candidates, and say nothing of those to come."""
        return sum(lost for n_rows, lost in self._lost.items() if n_rows > self.rows)

    def _mostly_cut(self, rows: int) -> bool:
        """Whether calls for so many rows, or fewer by less than half, were."""
        sizes = range(rows // 2 + 1, rows + 1)
        calls, cut = sum(self._calls[size] for size in sizes), sum(self._cut[size] for size in sizes)
        return calls >= FEWEST_CALLS and cut > CUT_SHARE * calls


def fewer_rows(sizes: Mapping[str | None, CallSize], cfg: GenerateConfig) -> list[str]:
    """In words, for which labels calls asked for fewer rows than configured."""
    return [
        f"answers{'' if label is None else f' for the label {label!r}'} were mostly cut off: calls asked for {size.rows} of {size.most} rows in the end; "
        f"raise generate.llm.max_output_tokens ({cfg.llm.max_output_tokens:,}) or lower generate.rows_per_request"
        for label, size in sizes.items()
        if size.rows < size.most
    ]
