"""The endpoint before the work: is it there, does the key fit, is the model known, which JSON dialect does it speak?

The dialect is found out once with a few tiny calls and remembered beside the ledger, so a resumed run
asks nothing again. A fault found here is an EndpointError that names address, model and key variable.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import openai
import tenacity

from synalign_spark.config import LlmConfig
from synalign_spark.config.secrets import public_address
from synalign_spark.errors import EndpointError
from synalign_spark.generation import embedded
from synalign_spark.generation.client import (
    NEVER_RETRIED,
    PROBE,
    PROBE_TOKENS,
    Fault,
    Target,
    backoff,
    candidates,
    classify,
    response_format,
    shown,
)
from synalign_spark.storage.paths import STORE_FAULTS, filesystem

OPENAI_URL = "https://api.openai.com/v1"
LIST_ATTEMPTS, PROBE_ATTEMPTS = 3, 4
LONGEST_PROBE_WAIT_S = 60.0
REMEMBERED = "endpoint.json"


@dataclass(frozen=True)
class EndpointReport:
    """What was found. ``model_listed``: None where the server lists no models; ``probes``: chat requests that were sent."""

    base_url: str
    model: str
    dialect: str
    token_parameter: str
    model_listed: bool | None
    latency_s: float
    probes: int

    def __str__(self) -> str:
        listed = {True: "listed", False: "not in the server's list", None: "no list of models"}[self.model_listed]
        return f"{public_address(self.base_url)} answers in {self.latency_s:.2f} s, model {self.model!r} ({listed}), structured output: {shown(self.dialect)}"


def api_key(llm: LlmConfig) -> str:
    """The key from the environment. Raises EndpointError where OpenAI's own endpoint needs one and none is set."""
    key = os.environ.get(llm.api_key_env, "").strip()
    if not key and llm.provider == "openai" and llm.base_url is None:
        raise EndpointError(
            f"generate.llm.api_key_env: {llm.api_key_env} is not set; export {llm.api_key_env}=... or set generate.llm.base_url"
        )
    return key or "none"


def check(llm: LlmConfig, base_url: str | None = None, folder: str | None = None) -> EndpointReport:
    """Reaches the endpoint and settles the dialect; ``base_url`` overrides the configured one (embedded model).

    folder: where the dialect of an earlier process is remembered. Raises EndpointError."""
    address = base_url or llm.base_url or OPENAI_URL
    key = api_key(llm)
    target = Target(address, llm.model, "text", "max_tokens", llm.timeout_s, PROBE_ATTEMPTS, key)
    with openai.OpenAI(base_url=address, api_key=key, max_retries=0, timeout=min(llm.timeout_s, 60.0)) as client:
        started = time.monotonic()
        listed = _list_models(client, target, llm)
        latency = time.monotonic() - started
        known = _recall(folder, llm)
        if known is not None:
            return EndpointReport(address, llm.model, known[0], known[1], listed, latency, 0)
        if llm.provider == "embedded":
            return EndpointReport(address, llm.model, candidates(llm.structured_output)[0], "max_tokens", listed, latency, 0)
        dialect, parameter, probes, latency = _negotiate(client, target, llm)
    report = EndpointReport(address, llm.model, dialect, parameter, listed, latency, probes)
    _remember(folder, llm, report)
    return report


def require_usable(llm: LlmConfig) -> None:
    """A quick look before any work: packages, key, connection; no chat call. Raises EndpointError or InstallationError."""
    if llm.provider == "embedded":
        embedded.model_file()
        return
    key = api_key(llm)
    target = Target(llm.base_url or OPENAI_URL, llm.model, "text", "max_tokens", llm.timeout_s, PROBE_ATTEMPTS, key)
    with openai.OpenAI(base_url=target.base_url, api_key=key, max_retries=0, timeout=min(llm.timeout_s, 60.0)) as client:
        _list_models(client, target, llm)


def describe(llm: LlmConfig) -> str:
    """The finding in a line, for ``synalign doctor``. Starts and stops the embedded model. Raises EndpointError."""
    if llm.provider == "embedded":
        with embedded.serve(llm.model) as base_url:
            return str(check(llm, base_url))
    return str(check(llm))


def unusable(llm: LlmConfig, address: str | None, message: str) -> EndpointError:
    """The error for an endpoint that cannot be used at all."""
    return EndpointError(
        f"the language model cannot be used: {message}; generate.llm.base_url={public_address(address or '')!r}, generate.llm.model={llm.model!r}, "
        f"key from ${llm.api_key_env}: check the address, the model's name and the key; stored answers are kept, start the run again to go on"
    )


def _list_models(client: openai.OpenAI, target: Target, llm: LlmConfig) -> bool | None:
    """Whether the model is listed; None where the server has no list. Raises EndpointError when it is down or refuses the key."""
    retrying = _retrying("models", LIST_ATTEMPTS, lambda err: isinstance(err, openai.APIConnectionError))
    try:
        return retrying(lambda: llm.model in {model.id for model in client.models.list().data})
    except openai.APIStatusError as err:
        if err.status_code in (401, 403):
            raise unusable(llm, target.base_url, target.scrub(classify(err).message)) from None
        return None
    except openai.APIConnectionError as err:
        raise unusable(llm, target.base_url, target.scrub(classify(err).message)) from None
    except (openai.OpenAIError, TypeError, AttributeError):
        return None


def _retrying(key: str, attempts: int, mended: Callable[[Exception], bool]) -> tenacity.Retrying:
    """Tries again where ``mended`` says that this may help; waits as the calls of a run do, and as long as the server asks for on top.

    key: what the jitter follows from. The last error is raised as it is."""

    def seconds(state: tenacity.RetryCallState) -> float:
        err = state.outcome.exception() if state.outcome else None
        asked = classify(err).retry_after if isinstance(err, Exception) else None
        return min(LONGEST_PROBE_WAIT_S, asked or 0.0) + backoff(key, state.attempt_number)

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda err: isinstance(err, Exception) and mended(err)),
        stop=tenacity.stop_after_attempt(attempts),
        wait=seconds,
        reraise=True,
    )


def _negotiate(client: openai.OpenAI, target: Target, llm: LlmConfig) -> tuple[str, str, int, float]:
    """(dialect, token parameter, probes, seconds of the last probe): the first dialect that gives what it promises."""
    parameter, probes, refusal = "max_tokens", 0, ""
    for dialect in candidates(llm.structured_output):
        while True:
            started = time.monotonic()
            found, attempts = _probe(client, target, llm, dialect, parameter)
            probes += attempts
            if isinstance(found, Fault):
                refusal = found.message
                if parameter == "max_tokens" and "max_completion_tokens" in refusal:
                    parameter = "max_completion_tokens"
                    continue
            elif found:
                return dialect, parameter, probes, time.monotonic() - started
            break
    tried = ", ".join(candidates(llm.structured_output))
    raise unusable(llm, target.base_url, f"no structured output dialect works (tried {tried}); {target.scrub(refusal)}")


def _probe(client: openai.OpenAI, target: Target, llm: LlmConfig, dialect: str, parameter: str) -> tuple[bool | Fault, int]:
    """(works, requests sent). A Fault: the server refuses the request itself. Raises EndpointError for anything beyond repair."""
    form = response_format(dialect, PROBE)
    body: dict[str, Any] = {parameter: PROBE_TOKENS} | ({} if form is None else {"response_format": form})

    def works() -> bool:
        messages: Any = list(PROBE.messages)
        reply = client.chat.completions.create(model=llm.model, messages=messages, **body)
        return _keeps_promise(reply, dialect)

    retrying = _retrying(dialect, PROBE_ATTEMPTS, lambda err: classify(err).status not in NEVER_RETRIED)
    found: bool | Fault
    try:
        found = retrying(works)
    except Exception as err:  # every fault of a call is one of the endpoint; classify says which
        found = classify(err)
        if found.status != "bad_request":
            raise unusable(llm, target.base_url, target.scrub(found.message)) from None
    return found, int(retrying.statistics["attempt_number"])


def _keeps_promise(reply: Any, dialect: str) -> bool:
    """Whether the answer has the promised form. An answer cut off proves nothing against the dialect."""
    if dialect == "text" or reply.choices[0].finish_reason == "length":
        return True
    try:
        data = json.loads(reply.choices[0].message.content or "")
    except ValueError:
        return False
    return isinstance(data, dict) and (dialect == "json_object" or isinstance(data.get("rows"), list))


def _identity(llm: LlmConfig) -> dict[str, Any]:
    return {"provider": llm.provider, "base_url": llm.base_url, "model": llm.model, "structured_output": llm.structured_output}


def _recall(folder: str | None, llm: LlmConfig) -> tuple[str, str] | None:
    """(dialect, token parameter) of the same endpoint in an earlier process."""
    if folder is None:
        return None
    try:
        files, root = filesystem(folder)
        with files.open_input_stream(f"{root}/{REMEMBERED}") as stream:
            stored = json.loads(stream.readall())
        if stored["identity"] == _identity(llm) and stored["dialect"] in candidates(llm.structured_output):
            return stored["dialect"], stored["token_parameter"]
    except (*STORE_FAULTS, KeyError, TypeError):
        return None
    return None


def _remember(folder: str | None, llm: LlmConfig, report: EndpointReport) -> None:
    if folder is None:
        return
    files, root = filesystem(folder)
    files.create_dir(root, recursive=True)
    stored = {"identity": _identity(llm), "dialect": report.dialect, "token_parameter": report.token_parameter}
    with files.open_output_stream(f"{root}/{REMEMBERED}") as stream:
        stream.write(json.dumps(stored).encode())
