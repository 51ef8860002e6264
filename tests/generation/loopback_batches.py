"""The Batch API of the loopback server: files and batches, answered by what answers its calls, with the ends that real batches have."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

STEPS = ("validating", "in_progress", "finalizing")
EXPIRED = {"code": "batch_expired", "message": "This request could not be executed before the completion window expired."}
Answer = Callable[[dict[str, Any], str], web.Response]


@dataclass
class Batches:
    """What becomes of the n-th batch, from 1, and what has been seen.

    end: its last status; answered: share of its calls that have an answer then; looks: until its end; error: of one that failed; torn: lines
    that are no JSON, or of nobody's call, among the answers; create: status of the reply to the n-th creation, which makes the batch all
    the same where it is 500; held: whether batches stay in progress; down: whether looks at one fail."""

    end: Callable[[int], str] = lambda n: "completed"
    answered: Callable[[int], float] = lambda n: 1.0
    looks: int = 4
    error: tuple[str, str] = ("invalid_json_line", "This line is not parseable as valid JSON.")
    torn: bool = False
    create: Callable[[int], int] = lambda n: 200
    held: bool = False
    down: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    creations: int = 0
    looked: int = 0

    def calls(self, number: int) -> list[dict[str, Any]]:
        """The lines of the number-th batch, from 1."""
        batch = list(self.batches.values())[number - 1]
        return [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]

    def add_file(self, content: bytes) -> str:
        self.files[f"file-{len(self.files) + 1}"] = content
        return f"file-{len(self.files)}"


class BatchHandler:
    """refuse: the reply to a caller that may not call, None for others; answer: the reply to a call's body and its id."""

    def __init__(self, batches: Batches, refuse: Callable[[web.Request], web.Response | None], answer: Answer) -> None:
        self.batches, self.refuse, self.answer = batches, refuse, answer

    def add_to(self, app: web.Application, path: str) -> None:
        app.router.add_post(f"{path}/files", self.upload)
        app.router.add_get(f"{path}/files/{{id}}/content", self.content)
        app.router.add_post(f"{path}/batches", self.create)
        app.router.add_get(f"{path}/batches", self.list)
        app.router.add_get(f"{path}/batches/{{id}}", self.look)

    async def upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        file_id = self.batches.add_file(form["file"].file.read())
        return self.refuse(request) or web.json_response({"id": file_id, "object": "file", "purpose": "batch"})

    async def content(self, request: web.Request) -> web.Response:
        return self.refuse(request) or web.Response(body=self.batches.files[request.match_info["id"]])

    async def create(self, request: web.Request) -> web.Response:
        asked, state = await request.json(), self.batches
        state.creations += 1
        status = state.create(state.creations)
        if status not in (200, 500):
            return failure(status)
        batch = {
            "id": f"batch_{len(state.batches) + 1}",
            "object": "batch",
            "endpoint": asked["endpoint"],
            "input_file_id": asked["input_file_id"],
            "completion_window": asked["completion_window"],
            "status": "validating",
            "created_at": int(time.time()),
            "request_counts": {"total": state.files[asked["input_file_id"]].count(b"\n"), "completed": 0, "failed": 0},
            "metadata": asked["metadata"],
            "looks": 0,
        }
        state.batches[batch["id"]] = batch
        return self.refuse(request) or (web.json_response(batch) if status == 200 else failure(status))

    async def list(self, request: web.Request) -> web.Response:
        newest_first = list(self.batches.batches.values())[::-1]
        return self.refuse(request) or web.json_response({"object": "list", "data": newest_first, "has_more": False})

    async def look(self, request: web.Request) -> web.Response:
        batch = self.batches.batches.get(request.match_info["id"])
        if batch is None:
            return failure(404)
        self.batches.looked += 1
        if self.batches.down:
            return failure(503)
        batch["looks"] += not self.batches.held
        if batch["looks"] < self.batches.looks:
            batch["status"] = STEPS[min(batch["looks"], len(STEPS) - 1)]
        elif batch["status"] in STEPS:
            self.end(batch)
        return self.refuse(request) or web.json_response(batch)

    def end(self, batch: dict[str, Any]) -> None:
        """Answers, in another order than they were asked for, and errors in a file of their own."""
        state, number = self.batches, int(batch["id"].partition("_")[2])
        batch["status"] = state.end(number)
        if batch["status"] == "failed":
            batch["errors"] = {"object": "list", "data": [{"code": state.error[0], "message": state.error[1], "line": 1, "param": None}]}
            return
        calls, good, bad = state.calls(number), [], []
        n_answered = round(len(calls) * state.answered(number))
        for place, call in enumerate(calls):
            line: dict[str, Any] = {"id": f"batch_req_{place}", "custom_id": call["custom_id"], "response": None, "error": None}
            if place >= n_answered:
                bad.append(line | {"error": EXPIRED})
                continue
            reply = self.answer(call["body"], call["custom_id"])
            line["response"] = {"status_code": reply.status, "request_id": f"req_{place}", "body": json.loads(reply.text)}
            (good if reply.status == 200 else bad).append(line)
        batch["request_counts"] |= {"completed": len(good), "failed": len(bad)}
        torn = [b'{"custom_id": "torn', b'{"custom_id": "nobody", "response": null, "error": null}', b"[]"] if state.torn else []
        for key, lines in (("output_file_id", good), ("error_file_id", bad)):
            said = [json.dumps(line).encode() for line in lines[::-1]]
            batch[key] = state.add_file(b"\n".join(said + torn) + b"\n") if lines else None


def failure(status: int) -> web.Response:
    return web.json_response({"error": {"message": f"injected {status}", "type": "injected", "code": status}}, status=status)
