"""HTTP of the calls: JSON over aiohttp, under the errors of the SDK.

The SDK's own client checks every reply against its models, which takes four times as long as sending it; nothing here needs that.
"""

import contextlib
import dataclasses
import json
import resource
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import aiohttp
import httpx2
import openai

from synalign_spark.errors import ConfigError
from synalign_spark.generation.target import CONNECT_TIMEOUT_S, Target, proxy_of, trusted

KEPT_S = 4.0  # that an idle connection is used again: servers close theirs after five seconds or more, which may cross a request
LONGEST_REPLY = 16 * 2**20  # bytes: a hundred times the longest answer
OTHER_FILES = 200  # that a process holds open beside its connections: Spark's, the ledger's, the index's
LONGEST_HEADER = 65_536  # characters of a line of a reply's head: some gateways say much


@dataclasses.dataclass(frozen=True)
class Reply:
    """A reply of status 2xx. body: its JSON, objects as namespaces, or the text of what is none; headers: names in any case."""

    body: Any
    headers: Mapping[str, str]


def make_room(connections: int) -> None:
    """Lets this process hold so many connections, as far as the system allows. Raises ConfigError where it does not: files that cannot be opened
    would look like faults of the endpoint."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + OTHER_FILES
    if needed <= soft or soft == resource.RLIM_INFINITY:
        return
    if needed > hard != resource.RLIM_INFINITY:
        raise ConfigError(
            f"generate.llm.concurrency: {connections:,} connections at once are more than the {hard:,} open files that the system allows this "
            f"process (ulimit -n); lower it to {max(1, hard - OTHER_FILES):,}, or raise the limit"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class Transport:
    """Connections to one address, as many as there are requests. Used on one event loop."""

    def __init__(self, target: Target, longest_reply: int | None = None) -> None:
        """longest_reply: in bytes, where more than an answer in words is expected."""
        self._longest = longest_reply or LONGEST_REPLY
        parts = urlsplit(target.base_url)
        self._address = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        self._query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self._headers = {"Content-Type": "application/json", "Accept": "application/json", **target.http_headers}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=trusted(), keepalive_timeout=KEPT_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(target.timeout_s, CONNECT_TIMEOUT_S)),
            max_field_size=LONGEST_HEADER,
            max_line_size=LONGEST_HEADER,
        )
        self._proxy = proxy_of(target.base_url)

    async def post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Reply:
        """path: below the address. Raises openai.APIConnectionError, or openai.APIStatusError, for a redirection too: key and prompt go to
        nobody else."""
        url = f"{self._address}/{path}"
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        try:
            async with self._session.post(
                url, data=data, params=self._query, headers={**self._headers, **headers}, proxy=self._proxy, allow_redirects=False
            ) as response:
                content = await _limited(response.content, self._longest)
        except aiohttp.ClientError as err:
            unsent = isinstance(err, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
            late = isinstance(err, aiohttp.ServerTimeoutError)  # its own words name the whole address
            words = f"no connection within {self._session.timeout.sock_connect:g} s" if late else str(err) or type(err).__name__
            cause = (httpx2.ConnectError if unsent else httpx2.ReadError)(words)
            raise openai.APIConnectionError(message=str(cause), request=httpx2.Request("POST", url)) from cause
        if not 200 <= response.status < 300:
            raise status_error(response.status, response.headers, content, url)
        return Reply(parsed(content), response.headers)

    async def close(self) -> None:
        await self._session.close()


async def _limited(stream: aiohttp.StreamReader, longest: int) -> bytes:
    """A body, unpacked, as far as an answer can be long."""
    found = bytearray()
    async for part in stream.iter_any():
        found += part
        if len(found) > longest:
            raise aiohttp.ClientPayloadError(f"the reply has more than {longest // 2**20} MiB")
    return bytes(found)


def parsed(content: bytes) -> Any:
    """A reply's JSON, objects as namespaces; the text of what is none."""
    try:
        return json.loads(content, object_hook=lambda found: SimpleNamespace(**found))
    except ValueError:
        return content.decode("utf-8", "replace")


def status_error(status: int, headers: Mapping[str, str], content: bytes, url: str) -> openai.APIStatusError:
    """The SDK's error for a status, with the SDK's words."""
    body: Any = content.decode("utf-8", "replace").strip()
    with contextlib.suppress(ValueError):
        body = json.loads(body)
    inner = body.get("error", body) if isinstance(body, dict) else body
    message = inner.get("message") if isinstance(body, dict) and isinstance(inner, dict) else None
    words = f" - {message}" if isinstance(message, str) and message else ""
    said = [(name.encode("utf-8", "replace"), value.encode("utf-8", "surrogateescape")) for name, value in headers.items()]
    response = httpx2.Response(status, headers=said, request=httpx2.Request("POST", url))
    return openai.APIStatusError(f"Error code: {status}{words}", response=response, body=inner)
