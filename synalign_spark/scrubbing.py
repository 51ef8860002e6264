"""What messages, logs and manifests never show: keys, and what an address holds beside the place."""

import re
from typing import Any

HIDDEN = "[hidden]"
HARMLESS_QUERY = ("api-version", "version", "deployment", "model")  # names in the query of an address whose values are no secret
_SECRET_VALUE = re.compile(r"\b(sk|key)-[A-Za-z0-9_-]{8,}|Bearer\s+\S+")
# User and password in an address: all up to the last @, for a password may hold "/" and "@"; a port and a path are none.
_USER = re.compile(r"(?<=://)[^/\s@'\":]*:(?!\d{1,5}[/?#])[^\s'\"]*@")
_QUERY = re.compile(r"(://[^\s'\"?]*\?)(?=[^\s'\"/?]*=)([^\s'\"]+)")  # with names: a question mark alone may be of a pattern

_NAMED = re.compile(  # as in jdbc:...;password=x, in quotes too, which JSON and Python put a backslash before
    r"(?i)((?:password|passwd|client_secret|accountkey|sharedaccesskey|(?<![\w.])(?:pwd|secret))\s*=\s*)(?!\[hidden\])"
    r"(?:\\?\"[^\"]*\"|\\?'[^']*'|(?:[^\s;&,'\")\\]|\\(?!['\"])|,(?!\s|\w+\s*=))+)"
)


def scrub(value: Any) -> Any:
    """Text without anything that looks like a key, stands before an address's host or in its query; other values as they are.

    >>> scrub("401 for Bearer abc.def"), scrub("s3a://me:se/cr@et@bucket/x"), scrub("http://host:80/a@b")
    ('401 for [hidden]', 's3a://[hidden]@bucket/x', 'http://host:80/a@b')
    >>> scrub("https://host/x.csv?sv=1&sig=SECRET cannot be read"), scrub("http://host/v1?api-version=2"), scrub("s3a://bucket/part-?.csv")
    ('https://host/x.csv?[hidden] cannot be read', 'http://host/v1?api-version=2', 's3a://bucket/part-?.csv')
    >>> scrub("jdbc:sqlserver://host;user=me;password=s3cret;ssl=true"), scrub("the password = none of yours")
    ('jdbc:sqlserver://host;user=me;password=[hidden];ssl=true', 'the password = [hidden] of yours')
    >>> scrub("password='s3 cret', user=me"), scrub("-Djavax.net.ssl.keyStorePassword=s3,cret -Dx=1")
    ('password=[hidden], user=me', '-Djavax.net.ssl.keyStorePassword=[hidden] -Dx=1')
    """
    if not isinstance(value, str):
        return value
    value = _NAMED.sub(rf"\1{HIDDEN}", value)
    return _SECRET_VALUE.sub(HIDDEN, _QUERY.sub(_shown_query, _USER.sub(f"{HIDDEN}@", value)))


def scrubbed_json(value: Any) -> Any:
    """A value of JSON with its texts scrubbed one by one: quotes are not of the texts.

    >>> scrubbed_json({"where": ['password = "x"', 1]})
    {'where': ['password = [hidden]', 1]}
    """
    if isinstance(value, dict):
        return {key: scrubbed_json(inner) for key, inner in value.items()}
    return [scrubbed_json(inner) for inner in value] if isinstance(value, list) else scrub(value)


def _shown_query(found: re.Match[str]) -> str:
    parts = found[2].split("&")
    kept = [part for part in parts if part.partition("=")[0].lower() in HARMLESS_QUERY]
    return found[1] + "&".join(kept + [HIDDEN] * (len(kept) < len(parts)))
