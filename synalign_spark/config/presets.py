"""Values of several keys at once, by one name: the settings of the paper's experiments (Ren et al. 2025, arXiv 2502.08661)."""

from collections.abc import Mapping
from typing import Any

# What the authors' scripts do (github.com/nighood/SynAlign, gen_data): a Gaussian process over single rows with an RBF of length scale 0.1 and
# scikit-learn's jitter of 1e-10, and two demonstrations a set. Their vectors are DistilBERT's [CLS]; embed.model says what ours are.
SELECT: Mapping[str, Mapping[str, Any]] = {
    "paper": {"candidates": "rows", "rows_per_set": 2, "choice": "nearest", "alpha": 0.0, "length_scale": 0.1, "noise": 1e-5},
}
# attributes_from is theirs: of the rows shown, the first alone is summarised. Their lists of attributes were never published: those of the movie
# reviews and the news are our defaults; "product info" and "usage experience" stand in a comment of their second script, the others are ours. The
# words of the tasks are ours too.
GENERATE: Mapping[str, Mapping[str, Any]] = {
    "paper-sst2": {"attributes_from": 1, "task": "a sentence from a {label} movie review"},
    "paper-agnews": {"attributes_from": 1, "task": "the title and the first sentences of a news article"},
    "paper-amazon": {
        "attributes_from": 1,
        "task": "a customer's review of a product in an online shop",
        "attributes": ["product info", "usage experience", "tone", "style", "length"],
    },
}


def with_preset(values: Any, presets: Mapping[str, Mapping[str, Any]]) -> Any:
    """The values of a section with those of the preset that they name, where they do not give others; a name that is none changes nothing.

    >>> with_preset({"preset": "paper", "rows_per_set": 3}, {"paper": {"rows_per_set": 2, "noise": 0.1}})
    {'rows_per_set': 3, 'noise': 0.1, 'preset': 'paper'}
    """
    name = values.get("preset") if isinstance(values, Mapping) else None
    return {**presets[name], **values} if isinstance(name, str) and name in presets else values
