"""Values of the benchmarks' command lines."""

import argparse
from collections.abc import Callable, Sequence


def whole_numbers(text: str) -> list[int | None]:
    """Numbers of rows, all of them as None.

    >>> whole_numbers("300,all")
    [300, None]"""
    parts = [part.strip() for part in text.split(",")]
    if not all(part == "all" or (part.isdigit() and int(part) > 0) for part in parts):
        raise argparse.ArgumentTypeError(f"must be numbers or 'all', such as 300,all; got {text!r}")
    return [None if part == "all" else int(part) for part in parts]


def names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Reads 'a,b' and refuses a name that is not known."""

    def read(text: str) -> list[str]:
        found = [part.strip() for part in text.split(",")]
        if strange := [name for name in found if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(strange)} is not known; choose from {', '.join(known)}")
        return found

    return read
