"""The lines of a batch: a call as one, and what one says that came back."""

import dataclasses
import json
from typing import Any

from synalign_spark.generation.backends.sender import moderated
from synalign_spark.generation.bodies import path_and_body
from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.faults import Fault, classify
from synalign_spark.generation.replies import answer_of
from synalign_spark.generation.target import Target
from synalign_spark.generation.transport import parsed, status_error

NOT_RUN = "server_error"  # status of a call that its batch ended without


def line_of(request: Request, target: Target) -> bytes:
    """A call as a line of the file that is uploaded."""
    path, body = path_and_body(request, target)
    said = {"custom_id": request.request_id, "method": "POST", "url": f"/v1/{path}", "body": body}
    return json.dumps(said, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def by_request(lines: list[bytes]) -> dict[str, dict[str, Any]]:
    """The lines that came back, by the id of their request; what is no such line is left out."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict) and isinstance(data.get("custom_id"), str):
            found[data["custom_id"]] = data
    return found


def read_line(line: dict[str, Any] | None, request: Request, target: Target, attempts: int, status: str) -> Answer | Fault:
    """What came of a call, without a latency, which nobody tells; a fault costs nothing, since batches are billed by their answers.

    line: None for a call that has none; status: of its batch."""
    reply = (line or {}).get("response")
    if not isinstance(reply, dict) or not isinstance(reply.get("status_code"), int):
        error = (line or {}).get("error")
        said = f": {error.get('code')}: {error.get('message')}" if isinstance(error, dict) else ""
        return Fault(NOT_RUN, f"its batch ended as {status!r} without an answer to it{said}")
    content = json.dumps(reply.get("body")).encode()
    try:
        if not 200 <= reply["status_code"] < 300:
            raise status_error(reply["status_code"], {}, content, target.base_url)
        answer = answer_of(parsed(content), request, target, attempts, 0.0)
    except Exception as err:  # every fault of a call becomes a value; classify says which
        fault = classify(err)
        if fault.status != "moderated":
            return fault
        answer = moderated(request, target, fault, attempts, 0.0)
    return dataclasses.replace(answer, latency_s=None)
