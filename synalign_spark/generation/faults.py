"""What a failed request means, and how long to wait before the next one.

Which fault is retried is said in one place, ``classify``.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import openai

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
OVERLOADED = (503, 529)
NO_MONEY = "insufficient_quota"  # a 429 that no waiting mends
LONGEST_BODY = 500  # characters of an error's body in its message
TRUST = "; a certificate that this machine does not know goes into a file that the environment variable SSL_CERT_FILE names"
NO_TLS = "; what listens there speaks no TLS: write http:// in generate.llm.base_url, or name another port"
NEVER_RETRIED = "fatal", "bad_request", "bad_form", "prompt_too_long", "moderated", "forbidden"
# Parameters that a server may be asked without, the least missed first.
DROPPABLE = ("seed", "top_p", "temperature")
FORM_WORDS = re.compile(
    r"response_format|json_schema|json_object|json mode|structured output|tool_choice|\btools?\b|grammar|schema", re.IGNORECASE
)
TOO_LONG = re.compile(
    r"context.?(length|window|size)|maximum context|prompt is too long|too many tokens|exceed\w* the (available )?context", re.IGNORECASE
)
MODERATED = re.compile(
    r"content.?filter|content.?(management )?policy|content_policy_violation|responsibleai|flagged|moderation", re.IGNORECASE
)


class NotACompletionError(ValueError):
    """A body with status 200 that is no completion: some proxies answer errors so. code: the HTTP status that its error names, 0 without one."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class UnusableReplyError(ValueError):
    """A reply that no other attempt would mend."""


@dataclass(frozen=True)
class Fault:
    """status: as in Answer, or 'bad_form' (the server refuses the way in which JSON was asked for), 'moderated' (it refuses this
    prompt) or 'forbidden' (which of both, or the key, its history tells). retry_after: seconds that the server asked to wait,
    or None. ran: whether the model may have written an answer, so that the request may be billed. code: HTTP status, 0 without one."""

    status: str
    message: str
    retry_after: float | None = None
    ran: bool = False
    code: int = 0


def classify(err: Exception) -> Fault:
    """What an exception of the SDK means. Unknown kinds count as the server's fault and are retried."""
    message = _said(err)
    if isinstance(err, openai.APITimeoutError | TimeoutError):
        return Fault("timeout", message or "no answer in time", ran=True)
    if isinstance(err, openai.APIConnectionError):
        cause = err.__cause__ or err
        never_arrived = "connect" in type(cause).__name__.lower()
        remedy = TRUST if "certificate" in str(cause).lower() else NO_TLS if "WRONG_VERSION_NUMBER" in str(cause) else ""
        return Fault("server_error", f"no connection: {str(cause) or type(cause).__name__}{remedy}", ran=not never_arrived)
    if isinstance(err, openai.APIStatusError):
        if 300 <= err.status_code < 400:
            return _redirected(err)
        return _of_code(err.status_code, message, retry_after(err.response.headers), json.dumps(err.body, default=str))
    if isinstance(err, NotACompletionError):
        return _of_code(err.code, message) if err.code else Fault("server_error", message, ran=True)
    if isinstance(err, UnusableReplyError):
        return Fault("bad_request", message, ran=True)
    return Fault("server_error", f"{type(err).__name__}: {message}", ran=True)


def _said(err: Exception) -> str:
    """The words of an exception in one line. Of a body without a message the SDK says nothing (FastAPI's ``detail``): then the body itself."""
    text, body = str(err), getattr(err, "body", None)
    if isinstance(err, openai.APIStatusError) and body and text == f"Error code: {err.status_code}":
        text += f" - {body if isinstance(body, str) else json.dumps(body)}"[:LONGEST_BODY]
    param = body.get("param") if isinstance(body, dict) else None
    if isinstance(param, str) and param and param not in text:  # some servers name what they refuse there alone
        text += f" (param: {param[:LONGEST_BODY]})"
    return " ".join(text.split())


def _redirected(err: openai.APIStatusError) -> Fault:
    to = urlsplit(err.response.headers.get("location", ""))
    leads = f" to {to.scheme}://{to.netloc.rpartition('@')[2]}{to.path}" if to.hostname else ""
    said = f"the address redirects (HTTP {err.status_code}){leads}; set generate.llm.base_url to where the API is"
    return Fault("fatal", said, code=err.status_code)


def _of_code(code: int, message: str, wait: float | None = None, body: str = "") -> Fault:
    """What an HTTP status means. body: of the reply, as text."""
    if code == 429:
        return Fault("fatal" if NO_MONEY in message + body else "rate_limited", message, wait, code=code)
    if code in (408, 409, 425) or code >= 500:
        # Overloaded servers say 503 before they begin; any other of these may come after the answer was written.
        status = "timeout" if code in (408, 504) else "overloaded" if code in OVERLOADED else "server_error"
        return Fault(status, message, wait, ran=code not in (409, 425, 501, 503), code=code)
    if code in (401, 402, 404):
        return Fault("fatal", message, code=code)
    return Fault(_refusal(code, message), message, code=code)


def _refusal(code: int, message: str) -> str:
    """Status of a request that the server does not take, by what it says."""
    if code == 403:
        return "forbidden"
    if code == 413 or TOO_LONG.search(message):
        return "prompt_too_long"
    if MODERATED.search(message):
        return "moderated"
    return "bad_form" if FORM_WORDS.search(message) else "bad_request"


def named(message: str, sent: tuple[str, ...]) -> str | None:
    """The first of the parameters ``sent`` that a message names; None where it names none.

    >>> named("`temperature` and `top_p` cannot both be specified", ("seed", "top_p", "temperature"))
    'top_p'
    """
    return next((name for name in sent if re.search(rf"(?<![A-Za-z_]){re.escape(name)}(?![A-Za-z_])", message)), None)


def retry_after(headers: Any) -> float | None:
    """Seconds in a Retry-After (or retry-after-ms) header; None where there is none that can be read.

    >>> retry_after({"retry-after": "7"}), retry_after({"retry-after-ms": "250"}), retry_after({})
    (7.0, 0.25, None)
    """
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return None
        try:
            seconds = float(value)
        except ValueError:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        return max(0.0, seconds)
    except (ValueError, TypeError):
        return None


def backoff(request_id: str, attempt: int) -> float:
    """Seconds before the next attempt: doubles each time, with a jitter that follows from the request.

    >>> [0.25 <= backoff("id", 1) <= 0.75, 2.0 <= backoff("id", 4) <= 6.0]
    [True, True]
    """
    draw = hashlib.sha256(f"{request_id}:{attempt}".encode()).digest()
    jitter = 0.5 + int.from_bytes(draw[:4], "big") / 2**32
    return min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** (attempt - 1)) * jitter
