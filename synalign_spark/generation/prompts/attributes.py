"""What the built-in attributes mean, and the values that are drawn or chosen from."""

import hashlib
from collections.abc import Mapping, Sequence

SHOWN_VALUES = 3  # in a hint: enough to show the kind, too few to be taken for a list to choose from

# Said to the model beside the attribute's name.
HINTS: dict[str, str] = {
    "topic": "what the texts are about, in a few words",
    "tone": "the writer's mood, in two or three words",
    "style": "how they are written: wording, rhythm, sentence form",
    "formality": "formal, neutral, informal or slang",
    "sentiment intensity": "how strong the feeling is, and what shows it",
    "perspective": "who speaks, and to whom",
    "length": "how long the texts are, and of how many sentences",
}

ATTRIBUTE_VALUES: dict[str, tuple[str, ...]] = {
    "topic": ("people", "everyday life", "work", "money", "technology", "sport", "travel", "family", "health", "art", "history", "nature"),
    "tone": ("neutral", "warm", "critical", "ironic", "excited", "disappointed", "serious", "playful"),
    "style": ("plain", "vivid", "concise", "conversational", "descriptive", "analytical", "narrative"),
    "formality": ("formal", "neutral", "informal", "slang"),
    "sentiment intensity": ("mild", "moderate", "strong", "extreme"),
    "perspective": ("first person", "second person", "third person", "impersonal"),
    "length": ("a few words", "one short sentence", "one long sentence", "two or three sentences"),
}
FREE = ("topic",)  # no list of topics holds those of a corpus, so that a model is never held to one


def hint(name: str, values: Mapping[str, Sequence[str]]) -> str | None:
    """What is meant by an attribute: by the values that the user gives it, else in our words; None for one that nobody describes.

    >>> hint("tone", {"tone": ["warm", "cold"]}), hint("formality", {}), hint("weather", {})
    ('such as warm, cold', 'formal, neutral, informal or slang', None)
    """
    given = values.get(name)
    return f"such as {', '.join(given[:SHOWN_VALUES])}" if given else HINTS.get(name)


def choices(names: Sequence[str], values: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """The values that a model too small to describe freely chooses from, for the attributes that have a list.

    >>> choices(["topic", "formality"], {})
    {'formality': ('formal', 'neutral', 'informal', 'slang')}
    """
    built_in = {name: known for name, known in ATTRIBUTE_VALUES.items() if name not in FREE}
    found = {name: values.get(name) or built_in.get(name) for name in names}
    return {name: known for name, known in found.items() if known}


def random_attributes(names: Sequence[str], values: Mapping[str, Sequence[str]], key: str) -> dict[str, str]:
    """Attribute values drawn by a hash of ``key`` (attrprompt, Yu et al. 2023): from ``values``, else from the built-in lists.

    Attributes that neither names are left out.

    >>> random_attributes(["tone", "weather"], {"tone": ["warm"]}, "any key")
    {'tone': 'warm'}
    """
    drawn = {}
    for name in names:
        known = values.get(name) or ATTRIBUTE_VALUES.get(name)
        if known:
            digest = hashlib.sha256(f"{key}\x1f{name}".encode()).digest()
            drawn[name] = known[int.from_bytes(digest[:8], "big") % len(known)]
    return drawn
