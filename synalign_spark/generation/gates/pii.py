"""Personal data: addresses and numbers that lead to somebody. Each pattern is held to the checks that its kind of number has."""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from synalign_spark.generation.gates.check import Check, Find, Label

GATE = "pii"


@dataclass(frozen=True)
class Kind:
    """One kind of personal data. mask: what takes its place; valid: whether a match of the pattern is one."""

    name: str
    mask: str
    pattern: re.Pattern[str]
    valid: Callable[[str], bool] = lambda found: True

    def matches(self, text: str) -> Iterator[re.Match[str]]:
        return (match for match in self.pattern.finditer(text) if self.valid(match.group()))


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
    """7 to 15 digits, as E.164 has them, and not all the same."""
    digits = [char for char in found if char.isdigit()]
    return 7 <= len(digits) <= 15 and len(set(digits)) > 1


KINDS = (
    Kind("email", "<EMAIL>", re.compile(r"(?<![\w.+%-])[.+%-]*\w[\w.+%-]*@(?:[\w-]+\.)+[A-Za-z]{2,}\b")),
    Kind("iban", "<IBAN>", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), iban),
    Kind("card", "<CARD>", re.compile(r"(?<![\d.,-])[2-6]\d{3}([ -]?)\d{4}\1\d{4}\1\d{1,7}(?![\d,-]|\.\d)|(?<![\d.,-])3[47]\d{2}([ -]?)\d{6}\2\d{5}(?![\d,-]|\.\d)"), luhn),
    Kind("ssn", "<SSN>", re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")),
    Kind("ip", "<IP>", re.compile(r"(?<![\w.:])(?<![Vv]ersion )(?<![Vv])(?:(?:\d{1,3}\.){3}\d{1,3}|(?:[0-9A-Fa-f]{0,4}:){3,7}[0-9A-Fa-f]{1,4})(?![\w:]|\.\d)"), address),
    Kind(
        "phone",
        "<PHONE>",
        re.compile(
            r"(?<![\w+.,$-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,4}"
            r"|(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}([ .-]))[2-9]\d{2}[ .-]\d{4})(?![\w-]|[.,]\d)"
        ),
        telephone,
    ),
)  # fmt: skip


def checks() -> list[Check]:
    """The checks of the gate, one a kind.

    >>> [check.name for check in checks() if check.find("Call +49 30 901820 or 212-555-0187 by 10-12-2020.", None)]
    ['phone']
    """
    return [Check(GATE, kind.name, _finder(kind)) for kind in KINDS]


def _finder(kind: Kind) -> Find:
    """Says that a kind was found, and not what: the detail is stored and shown."""

    def find(text: str, _label: Label) -> str | None:
        return f"personal data ({kind.name})" if next(kind.matches(text), None) else None

    return find


def masked(text: str) -> str:
    """The text with personal data replaced.

    >>> masked("Write to jane@example.org from 93.184.216.34.")
    'Write to <EMAIL> from <IP>.'
    """
    for kind in KINDS:
        text = kind.pattern.sub(lambda match, kind=kind: kind.mask if kind.valid(match.group()) else match.group(), text)  # type: ignore[misc]
    return text
