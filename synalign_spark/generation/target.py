"""Where calls go: the address, its secrets, and the SDK's client for the calls before the work."""

import base64
import ipaddress
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
import openai

from synalign_spark.config import LlmConfig
from synalign_spark.config.language_model import OPENAI_URL
from synalign_spark.config.secrets import public_address
from synalign_spark.errors import ConfigError, EndpointDownError, EndpointError
from synalign_spark.generation.dialects import Terms
from synalign_spark.generation.limits import Take
from synalign_spark.scrubbing import HARMLESS_QUERY

CONNECT_TIMEOUT_S = 15.0
SHORTEST_SECRET, LONGEST_MESSAGE = 5, 1_000  # characters
HIDDEN = "[hidden]"
NO_KEY = "none"
OF_ACCOUNT = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}  # who pays, as the SDK says it


@dataclass(frozen=True)
class Target:
    """Where and how to ask. Secrets stay in memory: key, headers and address are left out of ``repr``."""

    base_url: str = field(repr=False)
    model: str
    terms: Terms
    timeout_s: float
    max_attempts: int
    api_key: str = field(repr=False)  # empty for none
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    prices_usd: tuple[float, float] = (0.0, 0.0)  # a million tokens of prompts, and of answers
    endpoint: str = ""  # the address as tables name it

    @property
    def http_headers(self) -> dict[str, str]:
        """Headers of every request. A user in the address is named in the way of HTTP, instead of the key, and without either there is no
        authorization."""
        if "authorization" in {name.lower() for name in self.headers}:
            return dict(self.headers)
        user = self._basic()
        said = f"Basic {user}" if user else f"Bearer {self.api_key}" if self.api_key else ""
        return dict(self.headers) | ({"Authorization": said} if said else {})

    @property
    def request_headers(self) -> dict[str, Any]:
        """The same for the SDK, which would authorize by itself."""
        found: dict[str, Any] = self.http_headers
        return found if "authorization" in {name.lower() for name in found} else found | {"Authorization": openai.Omit()}

    def _basic(self) -> str:
        """User and password of the address in base64 (RFC 7617); empty where it has none."""
        parts = urlsplit(self.base_url)
        if parts.username is None:
            return ""
        return base64.b64encode(f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()).decode()

    def take(self, prompt_tokens: int, completion_tokens: int) -> Take:
        """So many tokens, with their price."""
        usd = (prompt_tokens * self.prices_usd[0] + completion_tokens * self.prices_usd[1]) / 1e6
        return Take(prompt_tokens + completion_tokens, usd)

    def scrub(self, text: str) -> str:
        """The text without what is secret, at most 1,000 characters of it."""
        return self.scrubbed(text)[:LONGEST_MESSAGE]

    def scrubbed(self, text: str) -> str:
        """The text without what is secret: a server may say it back."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    @cached_property
    def _secrets(self) -> list[str]:
        """Key, values of headers, and the user's part and query values of the address; longest first, since one may hold another."""
        parts = urlsplit(self.base_url)
        said = parse_qsl(parts.query, keep_blank_values=True)
        # A name without a value may be the key itself.
        in_query = [value or name for name, value in said if name.lower() not in HARMLESS_QUERY]
        in_address = [unquote(part) for part in (parts.username, parts.password) if part]
        found = {self.api_key, self._basic(), *self.headers.values(), *in_query, *in_address}
        found |= {word for value in self.headers.values() for word in value.split()}  # 'Bearer ...' is told without its first word
        found |= {written for secret in found for written in (quote(secret), quote(secret, safe=""), quote_plus(secret))}  # in an address
        return sorted((secret for secret in found if len(secret) >= SHORTEST_SECRET), key=len, reverse=True)


def target_of(llm: LlmConfig, address: str | None, terms: Terms, timeout_s: float | None = None) -> Target:
    """The target of a configuration, with its secrets from the environment. address: instead of the configured one.

    Raises EndpointError where a variable is not set that must be, ConfigError for a proxy that cannot be read."""
    base_url, headers = address or llm.base_url or OPENAI_URL, _headers(llm)
    key = _sendable(f"generate.llm.api_key_env: the key in ${llm.api_key_env}", os.environ.get(llm.api_key_env, "").strip())
    if not key and llm.provider == "openai" and llm.base_url is None:
        raise EndpointError(
            f"generate.llm.api_key_env: {llm.api_key_env} is not set; export {llm.api_key_env}=... or set generate.llm.base_url"
        )
    of_account = {name: value for name, variable in OF_ACCOUNT.items() if (value := os.environ.get(variable, "").strip())}
    headers = {name: _sendable(f"{OF_ACCOUNT[name]} in the environment", value) for name, value in of_account.items()} | headers
    prices = llm.prices_usd(llm.mode == "batch") or (0.0, 0.0)
    proxy_of(base_url)  # one that cannot be read is known before any work
    return Target(base_url, llm.model, terms, timeout_s or llm.timeout_s, llm.max_attempts, key, headers, prices, llm.public_url)


def _headers(llm: LlmConfig) -> dict[str, str]:
    values = {name: os.environ.get(variable, "").strip() for name, variable in llm.headers.items()}
    for name, value in values.items():
        if not value:
            raise EndpointError(
                f"generate.llm.headers: {name} is to come from an environment variable, and the one that is named there is not set; export it"
            )
        _sendable(f"generate.llm.headers: the value of {name} in its environment variable", value)
    return values


def _sendable(what: str, value: str) -> str:
    """The value of a header. Raises EndpointError where it is none: libraries would quote it in their errors."""
    if not value.isascii() or not value.isprintable():
        raise EndpointError(f"{what} cannot be sent; it must be one line of ASCII")
    return value


def unusable(llm: LlmConfig, address: str | None, message: str, may_pass: bool = False) -> EndpointError:
    """The error for an endpoint that cannot be used at all. may_pass: whether it may be usable another time, as it is configured: what lies
    between may be at fault then."""
    way = by_proxy(address) if address and may_pass else ""
    return (EndpointDownError if may_pass else EndpointError)(
        f"the language model cannot be used: {message}{way}; generate.llm.base_url={public_address(address or '')!r}, generate.llm.model={llm.model!r}, "
        f"key from ${llm.api_key_env}: check the address, the model's name and the key; stored answers are kept, start the run again to go on"
    )


def by_proxy(address: str) -> str:
    """The proxy between this machine and an address, in words for an error; empty without one."""
    proxy = proxy_of(address)
    return f", by the proxy {public_address(proxy)} that the environment names (NO_PROXY leaves hosts out)" if proxy else ""


def sync_client(target: Target) -> openai.OpenAI:
    """The SDK's client for the calls before the work."""
    timeout = openai.Timeout(target.timeout_s, connect=min(target.timeout_s, CONNECT_TIMEOUT_S))
    # As calls go: the environment's proxies and certificates, but neither ~/.netrc nor redirections, which would give the key to others.
    options: dict[str, Any] = {"verify": trusted(), "proxy": proxy_of(target.base_url), "follow_redirects": False}
    transport = openai.DefaultHttpxClient(timeout=timeout, trust_env=False, **options)
    return openai.OpenAI(http_client=transport, timeout=timeout, **_connection(target))


def trusted() -> ssl.SSLContext:
    """The certificates that are trusted: those of SSL_CERT_FILE or SSL_CERT_DIR in the environment, else the usual ones. Raises ConfigError where
    that file holds none."""
    try:
        return httpx2.create_ssl_context()
    except OSError as err:  # ssl.SSLError is one
        name = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), "SSL_CERT_FILE")
        raise ConfigError(
            f"{name}: {os.environ.get(name, '')!r} cannot be read as a file of certificates ({err.strerror or err}); name a PEM file, or unset it"
        ) from err


def proxy_of(address: str) -> str | None:
    """The proxy that the environment names for an address (HTTPS_PROXY, ALL_PROXY, NO_PROXY); none for this machine's own. Raises ConfigError
    for one that is no address."""
    parts = urlsplit(address)
    if on_loopback(address) or proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    if found is None:
        return None
    proxy = found if "://" in found else f"http://{found}"
    if not _is_host(proxy):
        raise ConfigError(
            f"the proxy that the environment names ({parts.scheme.upper()}_PROXY or ALL_PROXY) cannot be read; in its user and password write / as %2F, "
            "? as %3F and # as %23"
        )
    return proxy


def _is_host(address: str) -> bool:
    """Whether an address names a host, and nothing behind it that a password was meant to hold.

    >>> _is_host("http://ann:s%2Fcret@proxy:3128/"), _is_host("http://ann:s/cret@proxy:3128"), _is_host("http://ann:1/cret@proxy:3128")
    (True, False, False)
    """
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and (parts.port or 1) > 0 and "@" not in f"{parts.path}{parts.query}{parts.fragment}"
    except ValueError:
        return False


def on_loopback(address: str) -> bool:
    """Whether an address is this machine's own: proxies of the environment are not asked for it.

    >>> on_loopback("http://127.0.0.1:8000/v1"), on_loopback("http://0.0.0.0:8000/v1"), on_loopback("http://llm.example/v1")
    (True, True, False)
    """
    host = urlsplit(address).hostname or ""
    try:
        found = ipaddress.ip_address(host)
        return found.is_loopback or found.is_unspecified
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _connection(target: Target) -> dict[str, Any]:
    """What the client is made with. The address's query stays behind the path of every request, its user is in a header."""
    parts = urlsplit(target.base_url)
    return {
        "base_url": urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")),
        "default_query": dict(parse_qsl(parts.query, keep_blank_values=True)),
        "api_key": target.api_key or NO_KEY,
        "max_retries": 0,
    }
