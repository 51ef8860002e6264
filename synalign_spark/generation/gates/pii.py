"""Personal data: addresses and numbers that lead to somebody. Each pattern is held to the checks that its kind of number has.

Looked for in the compatibility form of a text (NFKC), in which full-width letters, digits and signs are plain ones.
"""

import functools
import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from synalign_spark.generation.gates.check import Check, Find, Label
from synalign_spark.generation.gates.telephone import NationalNumbers, american, numbers_of

GATE = "pii"
YEARS = re.compile(r"(?<!\d)(?:(?:19|20)\d\d\D+)+(?:19|20)\d\d$")


@dataclass(frozen=True)
class Kind:
    """One kind of personal data. mask: what takes its place; valid: whether a match of the pattern is one; fits: by its place in the text."""

    name: str
    mask: str
    pattern: re.Pattern[str]
    valid: Callable[[str], bool] = lambda found: True
    fits: Callable[[str, int, int], bool] = lambda text, start, end: True

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where it stands in a text: what the pattern matches, or its group ``number`` where it has one."""
        part = "number" if "number" in self.pattern.groupindex else 0
        return (match.span(part) for match in self.pattern.finditer(text) if self.valid(match[part]) and self.fits(text, *match.span(part)))


def luhn(found: str) -> bool:
    """Whether the check digit of a card number is right (ISO/IEC 7812-1).

    >>> luhn("4111 1111 1111 1111"), luhn("4111 1111 1111 1112")
    (True, False)
    """
    digits = [int(char) for char in found if char.isdigit()][::-1]
    return len(set(digits)) > 1 and sum(digits[::2]) % 10 == -sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2]) % 10


def iban(found: str) -> bool:
    """Whether the check digits of an account number are right (ISO 13616).

    >>> iban("DE89 3704 0044 0532 0130 00"), iban("DE88 3704 0044 0532 0130 00")
    (True, False)
    """
    plain = found.replace(" ", "")
    return 15 <= len(plain) <= 34 and int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def address(found: str) -> bool:
    """Whether it is an IP address that could be somebody's: neither unspecified nor a mask of zeros.

    >>> address("93.184.216.34"), address("1.2.3.400"), address("12:30:45:10")
    (True, False, False)
    """
    try:
        return not ipaddress.ip_address(found).is_unspecified
    except ValueError:
        return False


def telephone(found: str) -> bool:
    """7 to 15 digits, as E.164 has them, not all the same, and no list of years."""
    digits = [char for char in found if char.isdigit()]
    return 7 <= len(digits) <= 15 and len(set(digits)) > 1 and not YEARS.search(found)


KINDS = (
    Kind("email", "<EMAIL>", re.compile(r"(?<![\w.+%-])[.+%-]*\w[\w.+%-]*@(?:[\w-]+\.)+[A-Za-z]{2,}\b")),
    Kind(  # spelt out so that no program finds it
        "spelt_email",
        "<EMAIL>",
        re.compile(
            r"(?<![\w.+%-])\w[\w.+%-]{0,63} ?(?:[\[({] ?at ?[\])}] ?[\w-]{1,63}(?: ?[\[({] ?(?:dot|\.) ?[\])}] ?[\w-]{2,63}|\.[\w-]{2,63})+"
            r"|@ ?[\w-]{1,63}(?: ?[\[({] ?(?:dot|\.) ?[\])}] ?[\w-]{2,63})+)",
            re.IGNORECASE,
        ),
    ),
    Kind(
        "announced_email",
        "<EMAIL>",
        re.compile(
            r"\b(?:e-?mail|mail|write|contact|reach|address)(?: (?:me|us|him|her|them|is|to|at|via|it)){0,3}:? "
            r"(?P<number>\w[\w.+%-]{0,63} at [\w-]{1,63} dot (?:com|org|net|edu|gov|io|co|de|fr|uk|info))\b",
            re.IGNORECASE,
        ),
    ),
    Kind("iban", "<IBAN>", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), iban),
    Kind("card", "<CARD>", re.compile(r"(?<![\d.,-])[2-6]\d{3}([ -]?)\d{4}\1\d{4}\1\d{1,7}(?![\d,-]|\.\d)|(?<![\d.,-])3[47]\d{2}([ -]?)\d{6}\2\d{5}(?![\d,-]|\.\d)"), luhn),
    Kind("ssn", "<SSN>", re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")),
    Kind(
        "announced_ssn",
        "<SSN>",
        re.compile(r"(?<![A-Za-z])(?:ssn|social security(?: (?:number|no\.?))?)(?:'s)?(?: is| was)?\W{0,3}(?P<number>\d{3}[ .-]?\d{2}[ .-]?\d{4})(?!\d)", re.IGNORECASE),
    ),
    Kind("ip", "<IP>", re.compile(r"(?<![\w.:])(?<![Vv]ersion )(?<![Vv])(?<!irmware )(?<!OS )(?<!ndroid )(?<!indows )(?<![Bb]uild )(?<!elease )(?<!pdate )(?:(?:\d{1,3}\.){3}\d{1,3}|(?:[0-9A-Fa-f]{0,4}:){3,7}[0-9A-Fa-f]{1,4})(?![\w:]|\.\d)"), address),
    Kind(
        "phone",
        "<PHONE>",
        re.compile(
            r"(?<![\w+.,$-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,4}"
            r"|(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}([ .-]))[2-9]\d{2}[ .-]\d{4})(?![\w-]|[.,]\d)"
        ),
        telephone,
        american,
    ),
    Kind(  # in whatever form, where it is said to be one
        "announced_phone",
        "<PHONE>",
        re.compile(
            r"(?:(?<![A-Za-z])(?:tel(?:ephone)?|(?:tele|mobile |cell ?)?phone|mobile|fax|whatsapp)(?: ?(?:number|no|nr))?\.?|\u7535\u8bdd|\u624b\u673a|\u96fb\u8a71|\uc804\ud654)"
            r"(?: is)? ?:? ?(?P<number>\(?\d(?:[ .()-]{0,2}\d){6,14})(?![\w-]|[.,]\d| ?(?:px|pixels?|screen|mp|mah|fps|usd|dollars?|euros?)\b)",
            re.IGNORECASE,
        ),
        telephone,
    ),
)  # fmt: skip


def checks(language: str = "") -> list[Check]:
    """The checks of the gate, one a kind. language: of the rows, which tells in whose form telephone numbers may be.

    >>> [check.name for check in checks() if check.find("Call +49 30 901820 or 212-555-0187 by 10-12-2020.", None)]
    ['phone']
    >>> [check.name for check in checks("German") if check.find("Ruf 0171 2345678 an.", None)]
    ['national_phone']
    """
    return [Check(GATE, kind.name, _finder(kind)) for kind in _kinds(language)]


@functools.lru_cache(maxsize=16)
def _kinds(language: str) -> tuple[Kind | NationalNumbers, ...]:
    return (*KINDS, numbers_of(language)) if language else KINDS


def _finder(kind: Kind | NationalNumbers) -> Find:
    """Says that a kind was found, and not what: the detail is stored and shown."""
    words = f"personal data ({kind.mask.strip('<>').lower()})"

    def find(text: str, _label: Label) -> str | None:
        return words if next(kind.spans(_compatible(text)), None) else None

    return find


def masked(text: str, language: str = "") -> str:
    """The text with personal data replaced, in its compatibility form where there is some. language: as of ``checks``.

    >>> masked("Write to jane@example.org from 93.184.216.34."), masked("Write to jane\uff20example.org.")
    ('Write to <EMAIL> from <IP>.', 'Write to <EMAIL>.')
    """
    plain = found = _compatible(text)
    for kind in _kinds(language):
        for start, end in reversed(list(kind.spans(plain))):
            plain = plain[:start] + kind.mask + plain[end:]
    return text if plain == found else plain


def _compatible(text: str) -> str:
    return unicodedata.normalize("NFKC", text)
