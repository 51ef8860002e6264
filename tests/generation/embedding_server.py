"""An embedding server of the tests' own: the vector of a text follows from it alone, and faults are a function of body and turn."""

import asyncio
import hashlib
import json
import threading
from collections import Counter

from aiohttp import web
from transport_calls import serving

WIDTH = 6


def vector(text, width=WIDTH):
    """Numbers that are not of unit length."""
    digest = hashlib.sha256(text.encode()).digest()
    return [byte / 64 - 2.0 + 0.01 for byte in digest[:width]]


class Embeddings:
    """fault: (texts, n-th request) -> None, or (status, headers, body); shape: changes the list of vectors before it is sent;
    delay_s: of an answer, faults come at once."""

    def __init__(self, fault=lambda texts, n: None, shape=lambda data: data, context=10**9, usage=True, delay_s=0.0):
        self.fault, self.shape, self.context, self.usage, self.delay_s = fault, shape, context, usage, delay_s
        self.bodies, self.headers, self.paths, self.lock = [], [], [], threading.Lock()
        self.answered = Counter()  # texts

    async def __call__(self, request):
        body = await request.json()
        with self.lock:
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
            self.paths.append(request.path)
            turn = len(self.bodies)
        texts = body["input"]
        found = self.fault(texts, turn)
        if found is None and max(map(len, texts)) > self.context:
            found = 400, {}, {"error": {"message": "This model's maximum context length is 8 tokens", "type": "invalid_request_error"}}
        if found is not None:
            status, headers, said = found
            text = said if isinstance(said, str) else json.dumps(said)
            return web.Response(
                status=status, headers=headers, text=text, content_type="text/html" if text[:1] == "<" else "application/json"
            )
        data = [{"object": "embedding", "index": i, "embedding": vector(t, body.get("dimensions", WIDTH))} for i, t in enumerate(texts)]
        self.answered.update(texts)
        await asyncio.sleep(self.delay_s)
        usage = {"usage": {"prompt_tokens": sum(len(t.split()) for t in texts), "total_tokens": 0}} if self.usage else {}
        return web.Response(
            text=json.dumps({"object": "list", "data": self.shape(data), "model": body["model"], **usage}), content_type="application/json"
        )

    def serving(self):
        return serving(self)
