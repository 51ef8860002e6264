"""The map as an SVG picture: real, synthetic and weighted rows in one plane, without a script and in few bytes.

A row is a point of a path with round or square caps, about ten bytes each, so that 20,000 rows a side stay
below half a megabyte and a few thousand elements.
"""

import html
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from synalign_spark.report.findings import FloatArray, MapPoints

WIDTH, HEIGHT, MARGIN = 1000, 720, 24  # units of the picture
MOST_LABELS = 7  # more labels than that are drawn together
AREA_STEPS = np.array([0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0])  # few areas: few paths
IN_A_PATH = 40  # points; those of one path do not darken each other where they overlap, those of several do
DIAMETER = 9.0  # of a row of relative weight 1 where there are 2,000 a side
Places = npt.NDArray[np.int64]


def placed(points: MapPoints) -> tuple[Places, Places]:
    """Where the real and the synthetic rows lie in the picture, in its units: (n, 2) and (m, 2), y downwards."""
    return _place(points.real, points), _place(points.synthetic, points)


def _place(xy: FloatArray, points: MapPoints) -> Places:
    """Of places in the plane those in the picture of the points. (n, 2) -> (n, 2)"""
    everything = np.concatenate([points.real, points.synthetic])
    low, span = everything.min(axis=0), np.ptp(everything, axis=0).clip(min=1e-9)
    size = np.array([WIDTH, HEIGHT]) - 2 * MARGIN
    x, y = ((xy - low) / span * size + MARGIN).T
    found: Places = np.rint(np.column_stack([x, HEIGHT - y])).astype(np.int64)
    return found


def label_places(points: MapPoints) -> tuple[list[str | None], list[int], list[int]]:
    """Labels by falling number of rows, ties by name, null last; and for each real and each synthetic row the place of its label among
    them, MOST_LABELS for those that are drawn together."""
    counts = Counter([*points.real_labels, *points.synthetic_labels])
    order = sorted(counts, key=lambda label: (label is None, -counts[label], label or ""))
    place = {label: min(i, MOST_LABELS) for i, label in enumerate(order)}
    return order, [place[label] for label in points.real_labels], [place[label] for label in points.synthetic_labels]


def map_svg(points: MapPoints) -> str:
    """The picture as an ``<svg>`` element. Its layers have the classes of-real, of-synthetic and of-weighted, their paths label-0, label-1, ..."""
    real, synthetic = placed(points)
    _, real_labels, synthetic_labels = label_places(points)
    diameter = DIAMETER * float(np.clip(np.sqrt(4_000 / (len(real) + len(synthetic))), 0.45, 1.3))
    uniform = np.ones(len(synthetic))
    layers = (
        ("of-real", real, real_labels, np.ones(len(real))),
        ("of-synthetic", synthetic, synthetic_labels, uniform),
        ("of-weighted", synthetic, synthetic_labels, stepped(points.relative)),
    )
    drawn = "".join(
        f'<g class="{name}">{"".join(_paths(xy, np.array(labels), area, diameter))}</g>' for name, xy, labels, area in layers if len(xy)
    )
    first, second = points.explained
    axes = (
        f'<text x="{WIDTH / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">first component ({first:.0%} of the variance)</text>'
        f'<text x="16" y="{HEIGHT / 2:.0f}" text-anchor="middle" transform="rotate(-90 16 {HEIGHT / 2:.0f})">second component ({second:.0%})</text>'
    )
    described = (
        f"{len(real):,} real and {len(synthetic):,} synthetic rows on the two leading principal components of the real rows' embeddings: "
        "real rows as squares, synthetic rows as pale discs of one size, and on each a disc whose area is the weight."
    )
    return (
        f'<svg id="map-picture" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Map of the rows" aria-describedby="map-desc">'
        f'<desc id="map-desc">{html.escape(described)}</desc>{axes}{drawn}{_lacking(points)}</svg>'
    )


def _lacking(points: MapPoints) -> str:
    """A numbered ring at each cluster that lacks synthetic rows."""
    rings = []
    for cluster, xy in points.lacking:
        x, y = _place(xy[None, :], points)[0]
        rings.append(f'<circle cx="{x}" cy="{y}" r="20"/><text x="{x}" y="{y + 6}" text-anchor="middle">{cluster}</text>')
    return f'<g class="of-lacking">{"".join(rings)}</g>' if rings else ""


def stepped(relative: FloatArray) -> FloatArray:
    """Each weight at the nearest of a few areas; weights below 1/16 of uniform vanish.

    >>> stepped(np.array([0.01, 0.9, 40.0])).tolist()
    [0.0, 1.0, 16.0]
    """
    nearest: FloatArray = AREA_STEPS[np.abs(relative[:, None] - AREA_STEPS[None, :]).argmin(axis=1)]
    return nearest


def _paths(xy: Places, labels: npt.NDArray[np.int64], area: FloatArray, diameter: float) -> Iterator[str]:
    """The points of each label and area, some in a path."""
    for label in np.unique(labels):
        for size in np.unique(area[(labels == label) & (area > 0)]):
            found = xy[(labels == label) & (area == size)]
            for start in range(0, len(found), IN_A_PATH):
                shape = "".join(f"M{x} {y}h0" for x, y in found[start : start + IN_A_PATH])
                yield f'<path class="label-{label}" stroke-width="{diameter * np.sqrt(size):.1f}" d="{shape}"/>'


def label_names(order: Sequence[str | None]) -> list[str]:
    """What the boxes beside the picture say, one a class of its paths; none where no row has a label.

    >>> label_names(["b", "a", None]), label_names([None])
    (['b', 'a', 'no label'], [])
    """
    if list(order) == [None]:
        return []
    names = ["no label" if label is None else label for label in order]
    return names if len(names) <= MOST_LABELS + 1 else [*names[:MOST_LABELS], f"{len(names) - MOST_LABELS} other labels"]
