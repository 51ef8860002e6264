"""One lambda for all labels by the ``ess_rule``.

A label that is aligned more strongly than another tilts the models trained on both, so all labels step down one path together,
as far as the rows of all labels keep the floor on the effective sample size and those of each label half of it. A label whose own path
ends earlier, for it has few real rows, waits there and holds back no other.
"""

import math
from collections.abc import Iterable, Mapping

from synalign_spark.core.solver.moments import Moments
from synalign_spark.core.solver.path import Finished, Path


def step_together(paths: Mapping[str, Path], row_share: Mapping[str, float], floor: float) -> None:
    """Moves the choice of every path to the smallest lambda that all of them take and at which all rows keep the floor.

    Labels that take no lambda, and keep their base weights, stay out of it. row_share: by label, rows of the sample that the path
    was solved on over all rows; floor: share of the rows."""
    aligned = {name: path for name, path in paths.items() if path.chosen}
    place, stopped = 0, [path.chosen for path in aligned.values() if path.chosen < _end(path)]
    last = min(stopped) if stopped else max((path.chosen for path in aligned.values()), default=0)
    while place < last:
        moments = {name: path.points[min(place + 1, _end(path)) if name in aligned else 0].point.moments for name, path in paths.items()}
        if _kept((m, row_share[name]) for name, m in moments.items()) < floor:
            break
        place += 1
    for path in aligned.values():
        path.chosen = min(place, _end(path))


def step_back(paths: Mapping[str, Path], ends: Mapping[str, Finished], floor: float) -> list[str]:
    """Moves the choice back where the solve over all rows asks for it, and says which labels have to be solved again.

    First the labels follow the one whose lambda had to be raised most. Once they agree, all go back one step where their rows
    together miss the floor that they met on the sample. A label that left the path goes alone."""
    places = {name: _place(path, ends[name].lam) for name, path in paths.items()}
    aligned = {name: place for name, place in places.items() if place}
    raised = [other for name, other in aligned.items() if other < paths[name].chosen]
    place = min(raised) if raised else max(aligned.values(), default=0)
    agreed = all(other == min(place, _end(paths[name])) for name, other in aligned.items())
    if place and agreed and _kept((end.solution.point.moments, 1.0) for end in ends.values()) < floor:
        place -= 1
    for name in aligned:
        paths[name].chosen = min(place, _end(paths[name]))
    return sorted(name for name, other in aligned.items() if other > paths[name].chosen)


def _end(path: Path) -> int:
    """The last place of a path. A label that chose it had no smaller lambda to try."""
    return len(path.points) - 1


def _place(path: Path, lam: float) -> int | None:
    """Where a lambda stands on the path; None where the solve went beyond its first one."""
    return next((place for place, point in enumerate(path.points) if math.isclose(point.point.lam, lam)), None)


def _kept(labels: Iterable[tuple[Moments, float]]) -> float:
    """Effective sample sizes of all labels over their rows. labels: moments over a share of a label's rows, and the share."""
    found = list(labels)
    return sum(moments.ess / share for moments, share in found) / sum(moments.rows / share for moments, share in found)
