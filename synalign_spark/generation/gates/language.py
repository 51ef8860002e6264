"""Language: rows in another language than the one that was asked for, by py3langid (a naive Bayes model, no network)."""

from synalign_spark.config.languages import codes_of
from synalign_spark.detector import detector
from synalign_spark.generation.gates.check import Check, Label

GATE = "language"
IMPROBABLE, PROBABLE = 0.05, 0.5  # of the language asked for, and of another one: both must hold, since short rows are weak evidence
# Languages that a detector of character runs can hardly tell apart: any of a group counts as the others.
ALIKE = ({"no", "nn", "nb", "da"}, {"hr", "sr", "bs"}, {"id", "ms", "jv"}, {"zh", "wuu", "yue"}, {"ar", "ary", "arz"}, {"cs", "sk"}, {"gl", "pt"}, {"af", "nl"})  # fmt: skip
LOOKED_AT = 2_000  # characters of a row: enough to be sure, and a long row takes no milliseconds
NO_LANGUAGE = "zxx"  # the detector's class for what is no text: that is a matter of form


def code_of(name: str) -> str | None:
    """The detector's code of a language by its English name or its ISO 639 code, with its country or script or without; None for
    one that it does not know.

    >>> code_of("English"), code_of("pt-BR"), code_of("Chinese (Simplified)"), code_of("Brazilian Portuguese"), code_of("Klingon")
    ('en', 'pt', 'zh', 'pt', None)
    """
    known = set(detector().labels)
    return next((code for code in codes_of(name) if code in known), None)


def checks(language: str) -> list[Check]:
    """The check of the gate; none for a language that the detector does not know.

    >>> check = checks("English")[0]
    >>> check.find("Der Film ist wirklich gut und ich mag ihn.", None), check.find("a fine film", None)
    ('probably de (100 %), not English (0 %)', None)
    """
    code = code_of(language)
    if code is None:
        return []
    wanted = next((group for group in ALIKE if code in group), {code})

    def find(text: str, _label: Label) -> str | None:
        ranked = detector().rank(text[:LOOKED_AT])
        chance = sum(share for found, share in ranked if found in wanted)
        other, share = next((found, share) for found, share in ranked if found not in wanted)
        if chance < IMPROBABLE and share >= PROBABLE and other != NO_LANGUAGE:
            return f"probably {other} ({share:.0%}), not {language} ({chance:.0%})".replace("%", " %")
        return None

    return [Check(GATE, "other", find)]


def likeliest(text: str) -> str | None:
    """The detector's code of the likeliest language of a text; None for what is no text.

    >>> likeliest("Der Film ist wirklich gut und ich mag ihn."), likeliest("")
    ('de', None)
    """
    if not text.strip():
        return None
    found = str(detector().rank(text[:LOOKED_AT])[0][0])
    return None if found == NO_LANGUAGE else found
