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
                if start >= end:
                    yield start, stop
                    end = stop


def numbers_of(language: str) -> NationalNumbers:
    """The numbers of the countries of a language. language: its English name or ISO 639 code; of an unknown one there are none."""
    return NationalNumbers(REGIONS.get(code_of(language) or "", ()))


def _of_region(text: str, region: str) -> Iterator[tuple[int, int]]:
    for match in PhoneNumberMatcher(text, region, leniency=Leniency.STRICT_GROUPING):
        if sum(map(str.isdigit, match.raw_string)) >= FEWEST_DIGITS:
            yield match.start, match.end
