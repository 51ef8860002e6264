"""The language of a text, by py3langid: a naive Bayes model of character runs, in its package, without a network."""

import functools
from typing import Any


@functools.lru_cache(maxsize=1)
def detector() -> Any:
    """The detector, loaded once: ``rank(text)`` gives (code, probability) of each language, the likeliest first; ``labels`` are the codes.

    >>> detector().rank("Der Film ist wirklich gut und ich mag ihn.")[0][0]
    'de'
    """
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
