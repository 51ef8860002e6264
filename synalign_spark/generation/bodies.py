"""The body of a call, and the calls before the work, which go by the SDK's client."""

from typing import Any

from synalign_spark.generation.calls import Request
from synalign_spark.generation.dialects import Terms, form
from synalign_spark.generation.prompts import Prompt
from synalign_spark.generation.target import Target

CHAT, COMPLETION = "chat/completions", "completions"  # below the address


def path_and_body(request: Request, target: Target) -> tuple[str, dict[str, Any]]:
    """Where a call goes, and the JSON that is sent."""
    prompt, terms = request.prompt, target.terms
    said: dict[str, Any] = {"prompt": prompt.text} if prompt.text else {"messages": _messages(prompt, terms)}
    formed = form(terms.of(prompt), prompt)
    # A form ends by itself, and a stop mark may stand within it: blank lines before the last brace are JSON too.
    stop = {"stop": list(prompt.stop)} if prompt.text and prompt.stop and not formed else {}
    length = {"max_tokens" if prompt.text else terms.token_parameter: request.max_output_tokens}
    length |= {"n": prompt.choices} if prompt.choices > 1 else {}
    sampling = {name: value for name, value in request.sampling.items() if name not in terms.dropped}
    return COMPLETION if prompt.text else CHAT, {"model": target.model} | said | length | stop | sampling | formed


def _messages(prompt: Prompt, terms: Terms) -> list[dict[str, str]]:
    """Those of a chat. Some models have no system message (Gemma, o1): the user says what it says."""
    first, *rest = prompt.messages
    if terms.system or first["role"] != "system" or not rest:
        return list(prompt.messages)
    words = "\n\n".join(filter(None, (first["content"], rest[0]["content"])))
    return [rest[0] | {"content": words}, *rest[1:]]


def send(client: Any, request: Request, target: Target) -> Any:
    """Sends a call by the SDK's client: its reply."""
    path, body = path_and_body(request, target)
    of_sdk = {name: body.pop(name) for name in ("model", "prompt" if path == COMPLETION else "messages")}
    resource = client.completions if path == COMPLETION else client.chat.completions
    # What the SDK has no name for, and what it has, goes the same way.
    return resource.create(**of_sdk, extra_body=body, extra_headers=target.request_headers)
