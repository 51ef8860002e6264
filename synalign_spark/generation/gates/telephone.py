"""Telephone numbers as they are written within a country, without its code: by the numbering plans of phonenumbers (Google's libphonenumber)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from phonenumbers import Leniency, PhoneNumberMatcher

from synalign_spark.generation.gates.language import code_of

# Countries whose plans are tried for a language: where most of its rows come from. Each one more brings false alarms.
REGIONS = {
    "en": ("US", "GB"), "de": ("DE", "AT", "CH"), "fr": ("FR",), "es": ("ES", "MX"), "it": ("IT",), "pt": ("BR", "PT"), "nl": ("NL",),
    "pl": ("PL",), "cs": ("CZ",), "sv": ("SE",), "el": ("GR",), "tr": ("TR",), "ru": ("RU",), "uk": ("UA",), "ja": ("JP",), "ko": ("KR",),
    "zh": ("CN", "TW"), "hi": ("IN",), "th": ("TH",), "vi": ("VN",),
}  # fmt: skip
# Shorter ones are years, dates and scores: in 64,000 rows of AG News, SST-2, IMDb and Amazon reviews "310 1999", "168 1998" and
# "02.11.2004" fit the plans of the US or Germany. Of nine digits or more one number fits those of the US and the United Kingdom, and is
# one; three, of orders and reviews, fit those of any other country here.
FEWEST_DIGITS = 9
MAY_HOLD_ONE = re.compile(rf"\d(?:\D{{0,3}}\d){{{FEWEST_DIGITS - 1}}}")
AMERICAN = re.compile(r"\(?(\d{3})\)?[ .-]?(\d{3})[ .-]?(\d{4})")
ROUND = 50  # scores and ranges are multiples of it, all three parts: of numbers that are somebody's one in 25,000
ANNOUNCED = re.compile(
    r"(?:call|calls|called|calling|phone|telephone|tel|fax|dial|ring|rang|contact|reach|number|hotline|toll[ -]free|whatsapp|mobile|cell)\b[^.!?]{0,25}$",
    re.IGNORECASE,
)
QUANTITY = re.compile(
    r"[ -]?(?:points?|pts|scores?|calories|kcal|cal|words|pages|people|dollars|euros?|usd|eur|percent|rpm|mph|mm|cm|km|meters?|metres?|miles|feet|ft|mg|ml|kg|lbs?|grams?|watts?|volts?|pixels?|px|iso|hours|days|years)\b",
    re.IGNORECASE,
)


def american(text: str, start: int, end: int) -> bool:
    """Whether the ten digits at a place of a text, in the American form, are a telephone number: by the rules of its plan (no area or exchange
    code ends in 11, no area code is of the kinds 37X, 96X and N9X), and not three numbers: round ones, two and their sum, a quantity.
    Numbers that are said to be called need keep to the plan alone.

    >>> [american(found, 0, 12) for found in ("650-253-0000", "650-700-1200", "650-710-1360", "911-700-1200", "320-415-1250 calories")]
    [True, False, False, False, False]
    """
    found = AMERICAN.fullmatch(text[start:end].removeprefix("+").removeprefix("1").strip(" .-"))
    if found is None:
        return True  # not of this form
    area, exchange = found.group(1, 2)
    if area[1:] == "11" or exchange[1:] == "11" or area[1] == "9" or area[:2] in ("37", "96") or min(area[0], exchange[0]) < "2":
        return False
    if "(" in found.group() or found.group().isdecimal() or text[start] in "+1" or ANNOUNCED.search(text[:start]):
        return True
    numbers = [int(part) for part in found.groups()]
    is_round, is_sum = all(number % ROUND == 0 for number in numbers), numbers[0] + numbers[1] == numbers[2]
    return not (is_round or is_sum or QUANTITY.match(text, end))


@dataclass(frozen=True)
class NationalNumbers:
    """Finds the numbers of some countries. regions: their ISO 3166 codes."""

    regions: tuple[str, ...]
    name: str = "national_phone"
    mask: str = "<PHONE>"

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where numbers stand, none over another. Their digits are together, or grouped as in the country: scores in sets are not.

        >>> list(NationalNumbers(("DE",)).spans("Ruf 0171 2345678 an, es kostet 1.299.000.000 Euro"))
        [(4, 16)]
        """
        end = 0
        if MAY_HOLD_ONE.search(text):
            for start, stop in sorted(found for region in self.regions for found in _of_region(text, region)):
                if start >= end and american(text, start, stop):
                    yield start, stop
                    end = stop


def numbers_of(language: str) -> NationalNumbers:
    """The numbers of the countries of a language. language: its English name or ISO 639 code; of an unknown one there are none."""
    return NationalNumbers(REGIONS.get(code_of(language) or "", ()))


def _of_region(text: str, region: str) -> Iterator[tuple[int, int]]:
    for match in PhoneNumberMatcher(text, region, leniency=Leniency.STRICT_GROUPING):
        if sum(map(str.isdigit, match.raw_string)) >= FEWEST_DIGITS:
            yield match.start, match.end
