"""What messages, logs and tables may show of values that can hold a secret."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from synalign_spark.scrubbing import HARMLESS_QUERY

HIDDEN = "a hidden value"
_SECRET_NAME = re.compile(r"(^|_)(api_?key|token|secret|password|headers?|authorization|api_key_env)$", re.IGNORECASE)
_SECRET_SETTING = re.compile(r"secret|password|passwd|token|credential|access[._-]?key|api[._-]?key|account[._-]?key|sas", re.IGNORECASE)
_SECRET_WITHIN = re.compile(rf"({_SECRET_SETTING.pattern})[\w.-]*\s*=", re.IGNORECASE)
_KEY_LIKE = re.compile(r"[0-9a-f]{20,}")
LONGEST_VARIABLE = 64  # characters of the name of an environment variable
_ADDRESS = re.compile(r"https?://[^\s'\"]+")
LONGEST = 80  # characters of a value in a message


def public_address(address: str) -> str:
    """An address without user and password, and of its query only what says which service is meant.

    >>> public_address("http://me:secret@host:8000/v1?key=sk-1"), public_address("http://host/v1?key=sk-1&api-version=2")
    ('http://host:8000/v1', 'http://host/v1?api-version=2')"""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name.lower() in HARMLESS_QUERY])
    return urlunsplit((parts.scheme, f"[{host}]{port}" if ":" in host else f"{host}{port}", parts.path, query, ""))


def fingerprinted_address(address: str) -> str:
    """An address that tells itself from others without showing what it may hold: where it is not public as it is, a hash follows.

    >>> fingerprinted_address("http://host/v1"), fingerprinted_address("http://host/v1?key=sk-1")
    ('http://host/v1', 'http://host/v1 (sha256 6c35d2511480)')"""
    public = public_address(address)
    return public if public == address else f"{public} (sha256 {address_hash(address)})"


def address_hash(address: str) -> str:
    """What tells an address from others, of the address itself or of what ``fingerprinted_address`` made of it.

    >>> address_hash("http://host/v1?key=sk-1") == address_hash(fingerprinted_address("http://host/v1?key=sk-1")) == "6c35d2511480"
    True"""
    found = re.search(r" \(sha256 ([0-9a-f]{12})\)$", address)
    return found[1] if found else hashlib.sha256(address.encode()).hexdigest()[:12]


def is_secret(name: str) -> bool:
    """Whether a key's name says that its value is a secret, or may be one by mistake.

    >>> is_secret("x-api-key"), is_secret("accessToken"), is_secret("max_tokens")
    (True, True, False)"""
    return bool(_SECRET_NAME.search(re.sub(r"(?<=[a-z])(?=[A-Z])|-", "_", name)))


def public_settings(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings of Spark, without the values that are a secret by their name or hold one by its name.

    >>> public_settings({"spark.hadoop.fs.s3a.secret.key": "x", "spark.driver.extraJavaOptions": "-Dpassword=x", "spark.ui.port": "1"})
    {'spark.hadoop.fs.s3a.secret.key': '(hidden)', 'spark.driver.extraJavaOptions': '(hidden)', 'spark.ui.port': '1'}"""
    return {name: "(hidden)" if _SECRET_SETTING.search(name) or _SECRET_WITHIN.search(value) else value for name, value in settings.items()}


def looks_like_secret(variable: str) -> bool:
    """Whether what should be the name of an environment variable looks like a key itself.

    >>> looks_like_secret("AZURE_KEY"), looks_like_secret("abcdef0123456789abcdef0123456789")
    (False, True)"""
    return len(variable) > LONGEST_VARIABLE or bool(_KEY_LIKE.fullmatch(variable))


def shown_value(name: str, value: Any) -> str:
    """The value of a key as messages show it: cut where it is long, hidden where the key may hold a secret, addresses without theirs.

    >>> shown_value("base_url", "http://me:secret@host/v1"), shown_value("api_key", "sk-1")
    ("'http://host/v1'", 'a hidden value')"""
    if is_secret(name) and not isinstance(value, bool):
        return HIDDEN
    text = _ADDRESS.sub(lambda found: public_address(found.group(0)), repr(value))
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
