"""The endpoint before the work: is it there, does the key fit, is the model known, how is it asked?

How it is asked is found out once with a few tiny calls and remembered beside the ledger, so a resumed run
asks nothing again. A fault found here is an EndpointError that names address, model and key variable.
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import openai
import tenacity

from synalign_spark.config import LlmConfig
from synalign_spark.config.secrets import public_address
from synalign_spark.errors import EndpointError
from synalign_spark.generation import embedded, embedded_file
from synalign_spark.generation.batches.api import require_served
from synalign_spark.generation.dialects import Terms, best, candidates, shown
from synalign_spark.generation.faults import classify
from synalign_spark.generation.negotiation import Negotiation, retrying
from synalign_spark.generation.probing import UNPAID, Probing
from synalign_spark.generation.target import Target, sync_client, target_of, unusable
from synalign_spark.storage.paths import STORE_FAULTS, filesystem

LIST_ATTEMPTS = 3
REMEMBERED = "endpoint.json"
LISTED = {True: "listed", False: "not in the server's list, and answers all the same", None: "no list of models"}


@dataclass(frozen=True)
class EndpointReport:
    """What was found. ``model_listed``: None where the server lists no models; ``probes``: calls that were sent to find out."""

    base_url: str
    model: str
    terms: Terms
    dialect: str
    model_listed: bool | None
    latency_s: float
    probes: int

    def __str__(self) -> str:
        said = f"{public_address(self.base_url)} answers in {self.latency_s:.2f} s, model {self.model!r} ({LISTED[self.model_listed]})"
        form = self.dialect.replace("completion/", "") if self.dialect != "completion" else "none"
        continued = "asked to continue a text, " if self.dialect.startswith("completion") else ""
        rest = f"; {self.terms}" if str(self.terms) else ""
        return f"{said}, {continued}structured output: {shown(form)}{rest}"


def check(llm: LlmConfig, base_url: str | None = None, folder: str | None = None, probing: Probing = UNPAID) -> EndpointReport:
    """Reaches the endpoint and settles how it is asked; ``base_url`` overrides the configured one (embedded model).

    folder: where the finding of an earlier process is remembered; probing: what its calls are paid from. Raises EndpointError."""
    target = target_of(llm, base_url, initial_terms(llm))
    with sync_client(target) as client:
        started = time.monotonic()
        listed, _ = _list_models(client, target, llm)
        latency = time.monotonic() - started
        if llm.mode == "batch":
            require_served(client, target, llm)
        known = best(llm) if llm.provider == "embedded" else _recall(folder, llm)
        if known is not None:
            return _report(target, llm, known, listed, latency, 0)
        negotiation = Negotiation(client, target, llm, probing)
        terms = negotiation.find(candidates(llm))
    _remember(folder, llm, terms)
    return _report(target, llm, terms, listed, negotiation.latency_s, negotiation.probes)


def renegotiate(llm: LlmConfig, target: Target, folder: str, formless: bool, probing: Probing) -> Terms | None:
    """Other terms than those of ``target``, which the endpoint does not keep to any more, None where none work: with fewer parameters, or
    with a dialect below. formless: with another dialect only, for this one is taken and brings no JSON."""
    known = candidates(llm)
    now = target.terms.continuation if llm.continues else target.terms.dialect
    below = known[known.index(now) + formless :] if now in known else ()
    if not below:
        return None
    try:
        with sync_client(target) as client:
            terms = Negotiation(client, target, llm, probing).find(below)
    except EndpointError:
        return None
    if terms == target.terms:
        return None
    _remember(folder, llm, terms)
    return terms


def takes(llm: LlmConfig, target: Target, probing: Probing) -> bool:
    """Whether the endpoint takes a tiny call on the terms of ``target``, now. Raises EndpointError where it cannot be used at all."""
    with sync_client(target) as client:
        return Negotiation(client, target, llm, probing).taken()


def require_usable(llms: Sequence[LlmConfig]) -> None:
    """A quick look before any work: packages, key, connection; no call unless the list of models is a web page or forbidden. Of several endpoints
    one is to be usable, and each to have its key.

    Raises EndpointError or InstallationError."""
    for llm in llms:
        target_of(llm, None, initial_terms(llm))
    for n_left, llm in zip(reversed(range(len(llms))), llms, strict=True):
        try:
            _require_usable(llm)
            return
        except EndpointError:
            if n_left == 0:
                raise


def _require_usable(llm: LlmConfig) -> None:
    if llm.provider == "embedded":
        embedded_file.model_file(llm.model)
        return
    target = target_of(llm, None, initial_terms(llm))
    with sync_client(target) as client:
        _, unclear = _list_models(client, target, llm)
        if unclear:
            Negotiation(client, target, llm, UNPAID).find(candidates(llm))
        if llm.mode == "batch":
            require_served(client, target, llm)


def describe(llm: LlmConfig) -> str:
    """The finding in a line, for ``synalign doctor``. Starts and stops the embedded model. Raises EndpointError."""
    if llm.provider == "embedded":
        with embedded.serve(llm.model) as base_url:
            return str(check(llm, base_url))
    return f"{check(llm)}{'; it has a Batch API' if llm.mode == 'batch' else ''}"


def initial_terms(llm: LlmConfig) -> Terms:
    """The terms to begin from."""
    return Terms(token_parameter="max_tokens" if llm.token_parameter == "auto" else llm.token_parameter)


def _report(target: Target, llm: LlmConfig, terms: Terms, listed: bool | None, latency_s: float, probes: int) -> EndpointReport:
    dialect = terms.continuation if llm.continues else terms.dialect
    return EndpointReport(target.base_url, llm.model, terms, dialect, listed, latency_s, probes)


def _list_models(client: openai.OpenAI, target: Target, llm: LlmConfig) -> tuple[bool | None, bool]:
    """(whether the model is listed, None where the server has no list; whether only a call tells more: a web page came instead of a list, or the
    key may not read it, as keys that are for calls alone).

    Raises EndpointError where the server is down or does not know the key."""
    stop = tenacity.stop_after_attempt(LIST_ATTEMPTS)
    try:
        again = retrying("models", stop, lambda err: isinstance(err, openai.APIConnectionError))
        raw: Any = again(client.models.with_raw_response.list, extra_headers=target.request_headers)
        if "html" in raw.headers.get("content-type", ""):
            return None, True
        return llm.model in {model.id for model in raw.parse().data}, False
    except openai.APIStatusError as err:
        if err.status_code == 401:
            raise unusable(llm, target.base_url, target.scrub(classify(err).message)) from None
        return None, err.status_code == 403
    except openai.APIConnectionError as err:
        raise unusable(llm, target.base_url, target.scrub(classify(err).message), may_pass=True) from None
    except (openai.OpenAIError, TypeError, AttributeError, ValueError, RecursionError):  # it is no list
        return None, False


def _identity(llm: LlmConfig) -> str:
    """What a finding holds for, as a hash: an address may hold a secret."""
    of_server = ("provider", "base_url", "model", "api", "headers")
    of_calls = ("structured_output", "token_parameter", "temperature", "top_p", "send_seed", "extra_body")
    dumped = llm.model_dump(mode="json", include={*of_server, *of_calls})
    return hashlib.sha256(json.dumps(dumped, sort_keys=True).encode()).hexdigest()


def _recall(folder: str | None, llm: LlmConfig) -> Terms | None:
    """The terms of the same endpoint in an earlier process."""
    if folder is None:
        return None
    try:
        terms = _remembered(folder)[_identity(llm)]
        return Terms(**terms | {"dropped": tuple(terms["dropped"])})
    except (KeyError, TypeError):
        return None


def _remembered(folder: str) -> dict[str, Any]:
    """The terms of all endpoints by their identity; empty where nothing is remembered."""
    try:
        files, root = filesystem(folder)
        with files.open_input_stream(f"{root}/{REMEMBERED}") as stream:
            found = json.loads(stream.readall())
    except STORE_FAULTS:
        return {}
    return found if isinstance(found, dict) else {}


def _remember(folder: str | None, llm: LlmConfig, terms: Terms) -> None:
    """Beside those of other endpoints."""
    if folder is None:
        return
    files, root = filesystem(folder)
    files.create_dir(root, recursive=True)
    found = _remembered(folder) | {_identity(llm): dataclasses.asdict(terms)}
    with files.open_output_stream(f"{root}/{REMEMBERED}") as stream:
        stream.write(json.dumps(found).encode())
