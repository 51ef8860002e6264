"""What the server of our own writes: texts that follow a schema or a prompt, sound or spoilt in the ways that models and servers have."""

import hashlib
import json
import random
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from loopback import Behaviour

WORDS = [
    "river",
    "amber",
    "quiet",
    "engine",
    "harvest",
    "lantern",
    "signal",
    "meadow",
    "copper",
    "window",
    "planet",
    "garden",
    "thunder",
    "velvet",
    "marble",
    "harbour",
]
NO_TEXT = [
    {"type": "thinking", "thinking": '{"rows": ["a draft of a row"]}'},
    {"type": "reasoning", "text": '{"rows": ["a draft of a row"]}'},
    {"type": "image_url", "image_url": {"url": "data:"}},
    {"type": "text", "text": {"rows": ["a draft of a row"]}},
    "a draft of a row",
]


def write_text(rng: random.Random, n: int = 12) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(n)).capitalize() + f" {rng.randrange(10**6)}."


def fill(schema: dict[str, Any], rng: random.Random) -> Any:
    """A value that follows the few schema forms that the prompts use."""
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if schema["type"] == "object":
        return {name: fill(part, rng) for name, part in schema["properties"].items()}
    if schema["type"] == "array":
        return [fill(schema["items"], rng) for _ in range(schema.get("minItems", 4))]
    return write_text(rng)[: schema.get("maxLength", 200)]


def plain_answer(body: dict[str, Any], rng: random.Random) -> Any:
    """Without a schema the shape is read off the prompt, as a model would."""
    ask = body["messages"][-1]["content"]
    if '"rows"' in ask:
        return {"rows": [write_text(rng) for _ in range(4)]}
    shape = ask.rsplit("JSON: ", 1)[1]
    return {name: write_text(rng, 2) for name in json.loads(shape.replace("...", '""'))}


def asked_form(body: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """(schema, kind) of the form that a body asks for."""
    if "tools" in body:
        return body["tools"][0]["function"]["parameters"], "tool"
    if "json_schema" in body:
        return body["json_schema"], "continued"
    wanted = body.get("response_format", {"type": "text"})
    return wanted.get("json_schema", {}).get("schema") or wanted.get("schema"), wanted["type"]


def said_in(body: dict[str, Any]) -> str:
    return body.get("prompt") or "".join(message["content"] for message in body["messages"])


def prompt_tokens(body: dict[str, Any]) -> int:
    return len(said_in(body)) // 4


def completion(body: dict[str, Any], kind: str, behaviour: "Behaviour") -> web.Response:
    """A completion: sound, or of a kind: 'truncated', 'filtered', 'refusal', 'declines' (refuses in words), 'prose', 'half' (never closes, finished), 'html',
    'thinking' (a draft in marks before it), 'endless' (reasoning that does not end), 'parts' (content as a list), 'images' (a list
    without text), 'reasoning_content' (the answer there, 'reasoning beside nothing' with white space as content), 'arguments as an object' (of a function call), 'still reasoning' (thoughts there, and no answer), 'fenced', or the answer itself, from its brace on."""
    if kind == "html":
        return web.Response(text="<html>proxy error</html>", content_type="text/html")
    seed = hashlib.sha256(json.dumps([said_in(body), body.get("seed")]).encode()).hexdigest()
    rng = random.Random(seed)
    schema, asked = asked_form(body) if "ignored" not in behaviour.dialects else (None, "text")
    if schema is None and "prompt" in body:
        text = continued(body, rng)
    else:
        text = json.dumps(fill(schema, rng) if schema else plain_answer(body, rng))
    content, reason = shaped(text, kind)
    usage = {"prompt_tokens": prompt_tokens(body), "completion_tokens": len(text) // 4}
    reply = {"id": "x", "object": "text_completion" if "prompt" in body else "chat.completion", "created": 0, "model": body["model"]}
    if behaviour.usage:
        reply["usage"] = dict.fromkeys(usage, 0) if behaviour.nothing_used else usage | {"total_tokens": sum(usage.values())}
    if "prompt" in body:
        said = [(content, reason)] if behaviour.one_choice else several(body, rng, (content, reason), kind)
        choices = [{"index": i, "text": text, "finish_reason": reason} for i, (text, reason) in enumerate(said)]
    else:
        message = message_of(content, kind, text, body if asked == "tool" else {})
        choices = [{"index": 0, "message": message, "finish_reason": reason}]
    return web.json_response(reply | {"choices": choices})


def several(body: dict[str, Any], rng: random.Random, first: tuple[str, str], kind: str) -> list[tuple[str, str]]:
    """As many answers to one prompt as a body asks for. kind: where it is 'mixed', the second is cut off, the third filtered and the
    fourth empty."""
    odd = {1: "truncated", 2: "filtered"} if kind == "mixed" else {}
    others = [shaped(continued(body, rng), odd.get(i, kind)) for i in range(1, body.get("n", 1))]
    if kind == "mixed" and len(others) > 2:
        others[2] = ("", "stop")
    return [first, *others]


def continued(body: dict[str, Any], rng: random.Random) -> str:
    """Lines of a list, up to a stop mark if there is one."""
    text = "".join(f" {write_text(rng)}\n-" for _ in range(6))
    for stop in body.get("stop", []):
        text = text.partition(stop)[0]
    return text


def shaped(text: str, kind: str) -> tuple[str, str]:
    """(content, finish reason) of an answer whose sound form is ``text``."""
    if kind == "truncated":
        return text[: len(text) // 2], "length"
    if kind == "filtered":
        return "", "content_filter"
    if kind == "never begins":
        return "<think>Let me see. I could say", "length"
    contents = {
        "prose": "I would rather not write JSON today.",
        "declines": "I\u2019m sorry, but I can\u2019t help with that.",
        "half": text[:-4],
        "thinking": f'<think>I could say {{"rows": ["a draft of a row"]}}</think>{text}',
        "endless": f'<think>I could say {{"rows": ["a draft of a row"]}} {text}',
        "fenced": f"Here you are:\n```json\n{text}\n```",
    }
    return contents.get(kind, kind if kind.startswith("{") else text), "stop"


def message_of(content: str, kind: str, text: str, tool_body: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if kind == "null":
        return message | {"content": None}
    if kind == "refusal":
        return message | {"content": None, "refusal": "I cannot help with that."}
    if kind == "parts":
        halves = [{"type": "text", "text": text[:20]}, {"type": "text", "text": text[20:]}]
        return message | {"content": [*NO_TEXT[:2], halves[0], *NO_TEXT[2:], halves[1]]}
    if kind == "images":
        return message | {"content": NO_TEXT}
    if kind == "older call":
        return message | {"content": None, "function_call": {"name": "rows", "arguments": text}}
    if kind == "parallel calls":
        parts = [{name: [one]} for name, values in json.loads(text).items() for one in values]
        calls = [
            {"id": f"c{i}", "type": "function", "function": {"name": "rows", "arguments": json.dumps(one)}} for i, one in enumerate(parts)
        ]
        return message | {"content": None, "tool_calls": calls}
    if kind in ("reasoning_content", "reasoning beside nothing"):
        return message | {"content": None if kind == "reasoning_content" else "\n", "reasoning_content": text}
    if kind == "still reasoning":
        return message | {"content": None, "reasoning": f"I might answer {text}, or not."}
    if tool_body:
        given = json.loads(content) if kind == "arguments as an object" else content
        called = {"name": tool_body["tools"][0]["function"]["name"], "arguments": given}
        return message | {"content": None, "tool_calls": [{"id": "c", "type": "function", "function": called}]}
    return message
