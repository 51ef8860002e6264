"""Languages by the names that people give them."""

import difflib
import re
from collections.abc import Iterator

NOT_ISO_NAMES = {"greek": "el", "malay": "ms", "swahili": "sw", "nepali": "ne", "farsi": "fa", "mandarin": "zh", "punjabi": "pa"}


def codes_of(name: str) -> Iterator[str]:
    """ISO 639 codes of a language by its English name or its code, with its country, script or manner or without, the likeliest first.

    >>> [next(codes_of(name), None) for name in ("English", "pt-BR", "Chinese (Simplified)", "Brazilian Portuguese", "Englsh")]
    ['en', 'pt', 'zh', 'pt', None]
    """
    import iso639  # takes a quarter of a second, which a configuration of the default language need not wait for

    words = (name.strip(), re.split(r"[-_(,]", name)[0].strip())
    for tried in (part for whole in words if whole for part in (whole, whole.split()[-1])):
        if tried.casefold() in NOT_ISO_NAMES:
            yield NOT_ISO_NAMES[tried.casefold()]
        try:
            found = iso639.Language.match(tried, strict_case=False)
        except iso639.LanguageNotFoundError:
            continue
        yield from filter(None, (found.part1, found.part3, "no" if found.part1 == "nb" else None))


def near_languages(name: str) -> list[str]:
    """Names of languages that are spelled nearly so, of those that have a code of two letters.

    >>> near_languages("Englsh")[0], near_languages("Qwxz")
    ('English', [])
    """
    import iso639

    known = [found.name.split(" (")[0] for found in iso639.ALL_LANGUAGES if found.part1]
    spelled = {word.casefold(): word for word in (*known, *map(str.capitalize, NOT_ISO_NAMES))}
    return [spelled[word] for word in difflib.get_close_matches(name.strip().casefold(), spelled, n=3, cutoff=0.7)]


def check_language(name: str) -> None:
    """Raises ValueError, with names that are near, for what no language is called."""
    if name == "English" or any(codes_of(name)):
        return
    near = near_languages(name)
    hint = f"did you mean {' or '.join(near)}" if near else "give the English name of a language, such as German or Brazilian Portuguese"
    raise ValueError(f"language is {name!r}, which no language is called; {hint}; what is special about the rows stands in generate.task")
