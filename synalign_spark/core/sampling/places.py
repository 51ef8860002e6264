"""Which of a cluster's rows a demonstration set shows, by their places in the cluster's order.

A cluster that is picked again shows its next rows; once all were shown, others are drawn by hash, never the same set of rows twice.
"""

import math

from synalign_spark.core.keys import unit

PLACES_KEY = "select.places"  # purpose of the random numbers
DRAWN_FROM = 1_000  # first rows of a cluster, in its order, that sets are drawn from once all were shown


def n_sets(n_rows: int, rows_per_set: int) -> int:
    """Different sets that ``places`` has for a cluster of so many rows.

    >>> n_sets(4, 3), n_sets(2, 3)
    (5, 1)
    """
    shown_once = -(-n_rows // rows_per_set)
    within = min(n_rows, DRAWN_FROM)
    drawn = math.comb(within, rows_per_set) - within // rows_per_set if within > rows_per_set else 0
    return shown_once + drawn


class Places:
    """The sets of one cluster, one after the other. The same arguments give the same sets.

    >>> four = Places(seed=0, key="a cluster", n_rows=4, rows_per_set=3)
    >>> four.next(), four.next()
    ((0, 1, 2), (3,))
    >>> sorted(four.next() for _ in range(3))
    [(0, 1, 3), (0, 2, 3), (1, 2, 3)]
    """

    def __init__(self, seed: int, key: str, n_rows: int, rows_per_set: int) -> None:
        """key: names the cluster; n_rows: that it holds."""
        self._seed, self._key, self._n_rows, self._size = seed, key, n_rows, rows_per_set
        self._first, self._draws = 0, 0
        self._known: set[tuple[int, ...]] = set()

    def next(self) -> tuple[int, ...]:
        """The next set, at most ``n_sets`` times."""
        if self._first < self._n_rows:
            found = tuple(range(self._first, min(self._first + self._size, self._n_rows)))
            self._first += self._size
        else:
            found = self._draw()
            while found in self._known:
                found = self._draw()
        self._known.add(found)
        return found

    def _draw(self) -> tuple[int, ...]:
        """Some of the first rows, each as likely as any other."""
        self._draws += 1
        numbers = unit(self._seed, PLACES_KEY, [f"{self._key}:{self._draws}:{i}" for i in range(self._size)]).tolist()
        left = list(range(min(self._n_rows, DRAWN_FROM)))
        return tuple(sorted(left.pop(int(number * len(left))) for number in numbers))
