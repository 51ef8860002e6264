"""Numbers and texts as the terminal, the report and the documents show them."""

import math
import textwrap
from typing import Any

CUT_CHARS = 400
DOCUMENT_COLUMNS = 100
MOST_IN_A_LINE = 40  # characters of a text in the line of a stage; longer ones stand in the notes or the report
# Control characters would drive a terminal, and direction marks would turn the text around them.
_DRIVING = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], " ")


def number(value: Any) -> str:
    """A figure in at most four significant digits; an en dash where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if 0.001 <= abs(value) < 100_000:
        digits = max(0, 3 - math.floor(math.log10(abs(value))))
        return f"{value:,.{digits}f}"
    return f"{value:.3g}"


def share(value: float | None) -> str:
    """A share in percent.

    >>> share(0.123), share(-0.0001), share(None)
    ('12.3%', '0.0%', '–')
    """
    return "–" if value is None else _percent(value, 1)


def points(value: float) -> str:
    """A difference of two shares in percentage points, with its sign but for none.

    >>> points(0.0123), points(-0.004), points(-0.0001)
    ('+1.2', '-0.4', '0.0')
    """
    rounded = round(100 * value, 1)
    return f"{rounded:+.1f}" if rounded else "0.0"


def share_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A share with its interval.

    >>> share_interval(0.5, 0.25, 0.75), share_interval(None, None, None)
    ('50% (25% to 75%)', '–')
    >>> share_interval(0.1, -0.001, 0.2)
    '10% (0% to 20%)'
    """
    if value is None or low is None or high is None:
        return "–"
    return f"{_percent(value, 0)} ({_percent(low, 0)} to {_percent(high, 0)})"


def _percent(value: float, digits: int) -> str:
    """Never a minus before nothing."""
    return f"{round(100 * value, digits) + 0.0:.{digits}f}%"


def duration(seconds: float | None) -> str:
    """Seconds as '41 s', '3 min 05 s' or '2 h 10 min'."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def undriven(text: str) -> str:
    """A text of any lines without characters that would drive a terminal.

    >>> undriven("one\\n\\x1b[2Jtwo")
    'one\\n [2Jtwo'
    """
    return text.translate({**_DRIVING, 0x09: "\t", 0x0A: "\n"})


def undriven_json(text: str) -> str:
    """JSON that says the same, without characters that would drive a terminal.

    >>> print(undriven_json('{"a": "x\u202ey"}'))
    {"a": "x\\u202ey"}
    """
    return text.translate({code: f"\\u{code:04x}" for code in _DRIVING if code not in (0x09, 0x0A)})


def cut(text: str | None, length: int = CUT_CHARS) -> str:
    """A text of any length on one line, without control characters, cut with an ellipsis; never longer than ``length``."""
    if text is None:
        return "–"
    plain = " ".join(text.translate(_DRIVING).split())
    return plain if len(plain) <= length else plain[: length - 1] + "…"


def markdown(text: str) -> str:
    """A text in which Markdown sees no emphasis and no tag; code in backticks is as it was.

    >>> print(markdown("a <b> of 2 * 3"))
    a \\<b> of 2 \\* 3
    """
    parts = text.split("`")
    parts[::2] = (part.replace("*", "\\*").replace("<", "\\<") for part in parts[::2])
    return "`".join(parts)


def paragraph(text: str, bullet: str = "") -> str:
    """A paragraph of a document in lines of at most 100 columns; ``bullet`` stands before the first, as wide a space before the others."""
    return textwrap.fill(
        text, DOCUMENT_COLUMNS, initial_indent=bullet, subsequent_indent=" " * len(bullet), break_long_words=False, break_on_hyphens=False
    )
