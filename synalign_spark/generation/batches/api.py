"""The Batch API of an endpoint: files in, files out. Faults that pass are waited for; the others are errors that say what to do."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import openai
import tenacity

from synalign_spark.config import LlmConfig
from synalign_spark.config.secrets import public_address
from synalign_spark.errors import EndpointError
from synalign_spark.generation.bodies import CHAT, COMPLETION
from synalign_spark.generation.calls import TRANSIENT
from synalign_spark.generation.faults import classify
from synalign_spark.generation.negotiation import retrying
from synalign_spark.generation.target import Target, unusable

ENDED = ("completed", "failed", "expired", "cancelled")
NOT_SERVED = (404, 405, 501)
LIST_ATTEMPTS = 3
LISTED = 1_000  # of the newest batches, among which one is sought whose id was lost
SAID_ERRORS = 3  # of a batch that the endpoint did not take


@dataclass(frozen=True)
class BatchState:
    """A batch as the endpoint tells of it. done, failed: calls so far; files: of answers and of errors, those that are there;
    error: why it was not taken, empty for any other."""

    batch_id: str
    status: str
    done: int
    failed: int
    files: tuple[str, ...]
    error: str

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class BatchApi:
    """The four calls that a batch takes, by the SDK's client."""

    def __init__(self, client: openai.OpenAI, target: Target, llm: LlmConfig, outage_s: float) -> None:
        """outage_s: seconds to wait for an endpoint that is down."""
        self._client, self._target, self._llm, self._outage_s = client, target, llm, outage_s

    def upload(self, lines: Iterable[bytes]) -> str:
        """The id of a new file with the calls. It costs nothing as long as no batch is made of it."""
        file = ("calls.jsonl", b"".join(lines), "application/jsonl")

        def once() -> Any:
            return self._client.files.create(file=file, purpose="batch", extra_headers=self._target.request_headers)

        return str(self._asked("a file of calls cannot be uploaded", once, serves=True).id)

    def create(self, file_id: str, continues: bool) -> BatchState:
        """Has the calls of a file answered. Where an attempt may have come through without a reply, its batch is sought first: none is paid twice.

        continues: whether the calls are texts to continue."""
        url: Any = f"/v1/{COMPLETION if continues else CHAT}"
        tried = False

        def once() -> Any:
            nonlocal tried
            found = self._sought(file_id) if tried else None
            tried = True
            return found or self._client.batches.create(
                completion_window="24h",
                endpoint=url,
                input_file_id=file_id,
                metadata={"made_by": "synalign generate"},
                extra_headers=self._target.request_headers,
            )

        return _state(self._asked("a batch cannot be made", once))

    def find(self, file_id: str) -> BatchState | None:
        """The batch that was made of a file, None where none was."""
        found = self._asked("the batches cannot be listed", lambda: self._sought(file_id))
        return None if found is None else _state(found)

    def look(self, batch_id: str, noted: str) -> BatchState:
        """How far a batch is. noted: file of its note."""

        def once() -> Any:
            return self._client.batches.retrieve(batch_id, extra_headers=self._target.request_headers)

        remedy = f"remove {noted} to have its calls sent again, should it never be found (another address, another account)"
        return _state(self._asked(f"batch {batch_id} cannot be looked at ({remedy})", once))

    def lines(self, state: BatchState) -> list[bytes]:
        """The lines of the files of a batch, in no order."""
        found: list[bytes] = []
        for file_id in state.files:

            def once(file_id: str = file_id) -> Any:
                return self._client.files.content(file_id, extra_headers=self._target.request_headers).content

            found += self._asked(f"file {file_id} of batch {state.batch_id} cannot be read", once).split(b"\n")
        return [line for line in found if line.strip()]

    def _sought(self, file_id: str) -> Any:
        listed = self._client.batches.list(limit=100, extra_headers=self._target.request_headers)
        for number, batch in enumerate(listed):
            if batch.input_file_id == file_id:
                return batch
            if number >= LISTED:
                break
        return None

    def _asked(self, what: str, once: Callable[[], Any], serves: bool = False) -> Any:
        """What ``once`` returns, tried again while the endpoint is down. Raises EndpointError. what: failed, in words; serves: whether a
        404 says that there is no Batch API."""
        started, stop = time.monotonic(), tenacity.stop_after_delay(self._outage_s)
        try:
            return retrying(what, stop, _may_pass)(once)
        except Exception as err:  # every fault of a request is one of the endpoint; classify says which
            fault = classify(err)
            if serves and fault.code in NOT_SERVED:
                raise not_served(self._target, fault.message) from None
            tried = (
                f", tried for {time.monotonic() - started:.0f} s (generate.limits.max_outage_minutes)" if fault.status in TRANSIENT else ""
            )
            raise unusable(
                self._llm, self._target.base_url, f"{what}{tried}: {self._target.scrub(fault.message)}", fault.status in TRANSIENT
            ) from None


def require_served(client: openai.OpenAI, target: Target, llm: LlmConfig) -> None:
    """Looks whether the endpoint has batches, at no cost. Raises EndpointError where it has none."""
    try:
        again = retrying("batches", tenacity.stop_after_attempt(LIST_ATTEMPTS), _may_pass)
        raw: Any = again(client.batches.with_raw_response.list, limit=1, extra_headers=target.request_headers)
        is_list = isinstance(json.loads(raw.text).get("data"), list)
    except openai.APIStatusError as err:
        if err.status_code in NOT_SERVED:
            raise not_served(target, classify(err).message) from None
        raise _not_listed(llm, target, err) from None
    except openai.OpenAIError as err:
        raise _not_listed(llm, target, err) from None
    except (ValueError, AttributeError, RecursionError):
        is_list = False
    if not is_list:
        raise not_served(target, "what it answers is no list of batches")


def _not_listed(llm: LlmConfig, target: Target, err: Exception) -> EndpointError:
    return unusable(llm, target.base_url, f"the batches cannot be listed: {target.scrub(classify(err).message)}", _may_pass(err))


def _may_pass(err: Exception) -> bool:
    """Whether a fault is one that waiting may mend."""
    fault = classify(err)
    return fault.status in TRANSIENT and fault.code not in NOT_SERVED


def not_served(target: Target, message: str) -> EndpointError:
    """The error for an endpoint without a Batch API."""
    return EndpointError(
        f"generate.llm.mode is 'batch', and {public_address(target.base_url)} has no Batch API ({target.scrub(message)}); "
        "set generate.llm.mode to 'calls', or generate.llm.base_url to an endpoint that has one"
    )


def _state(batch: Any) -> BatchState:
    """What the SDK read, which it does not check: servers leave fields out."""
    counts, errors = getattr(batch, "request_counts", None), getattr(getattr(batch, "errors", None), "data", None)
    said = [_said(error) for error in errors or []]
    more = f"; and {len(said) - SAID_ERRORS} more" if len(said) > SAID_ERRORS else ""
    files = (getattr(batch, "output_file_id", None), getattr(batch, "error_file_id", None))
    return BatchState(
        str(batch.id),
        str(getattr(batch, "status", "")),
        getattr(counts, "completed", None) or 0,
        getattr(counts, "failed", None) or 0,
        tuple(file for file in files if file),
        "; ".join(said[:SAID_ERRORS]) + more,
    )


def _said(error: Any) -> str:
    """An error of a batch in words: 'line 3: invalid_json: no JSON'."""
    parts = (getattr(error, name, None) for name in ("code", "message"))
    line = getattr(error, "line", None)
    return ": ".join(([] if line is None else [f"line {line}"]) + [str(part) for part in parts if part])
