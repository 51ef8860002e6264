"""What messages, logs and tables may show of values that can hold a secret."""

import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

HIDDEN = "a hidden value"
_SECRET_NAME = re.compile(r"(^|_)(api_?key|token|secret|password|headers?|authorization|api_key_env)$", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^\s'\"]+")
LONGEST = 80  # characters of a value in a message


def public_address(address: str) -> str:
    """An address without user, password and query.

    >>> public_address("http://me:secret@host:8000/v1?key=sk-1")
    'http://host:8000/v1'"""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    return urlunsplit((parts.scheme, f"[{host}]{port}" if ":" in host else f"{host}{port}", parts.path, "", ""))


def is_secret(name: str) -> bool:
    """Whether a key's name says that its value is a secret, or may be one by mistake."""
    return bool(_SECRET_NAME.search(name))


def shown_value(name: str, value: Any) -> str:
    """The value of a key as messages show it: cut where it is long, hidden where the key may hold a secret, addresses without theirs.

    >>> shown_value("base_url", "http://me:secret@host/v1"), shown_value("api_key", "sk-1")
    ("'http://host/v1'", 'a hidden value')"""
    if is_secret(name):
        return HIDDEN
    text = _ADDRESS.sub(lambda found: public_address(found.group(0)), repr(value))
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
