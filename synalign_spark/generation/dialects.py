"""The ways in which servers are asked for an answer of a given form, and what one server turned out to need.

Servers of one protocol differ: a JSON schema, one without limits, just JSON (with the schema or without), a function call,
or nothing at all; for a text to continue, a schema under one of two names, or none.
"""

from dataclasses import dataclass
from typing import Any

from synalign_spark.config import LlmConfig
from synalign_spark.generation.prompts import Prompt

# In the order in which they are tried. The part before the slash is what the calls table shows.
DIALECTS = ("json_schema", "json_schema/plain", "json_object/schema", "json_object", "tool", "text")
CONTINUATIONS = ("completion/json_schema", "completion/response_format", "completion")
UNFORMED = ("text", "completion")  # these ask for no form, so they cannot be refused
LIMIT_KEYS = frozenset({"minLength", "maxLength", "minItems", "maxItems"})


@dataclass(frozen=True)
class Terms:
    """How an endpoint is asked. dialect: for messages; continuation: for a text to continue; token_parameter: 'max_tokens', or
    'max_completion_tokens' for newer OpenAI models; dropped: parameters that it refuses; reasoning: whether its answers stand
    in ``reasoning_content`` while ``content`` is null; system: whether it takes a system message."""

    dialect: str = "text"
    continuation: str = "completion"
    token_parameter: str = "max_tokens"
    dropped: tuple[str, ...] = ()
    reasoning: bool = False
    system: bool = True

    def of(self, prompt: Prompt) -> str:
        """The dialect in which a prompt is sent."""
        return self.continuation if prompt.text else self.dialect

    def __str__(self) -> str:
        """What is not a matter of course, for reports."""
        parts = [self.token_parameter] if self.token_parameter != "max_tokens" else []
        parts += [f"left out, since the server refuses it: {', '.join(self.dropped)}"] if self.dropped else []
        parts += ["answers stand in reasoning_content"] if self.reasoning else []
        parts += [] if self.system else ["what the system message says begins the user's, since the server refuses it"]
        return "; ".join(parts)


def candidates(llm: LlmConfig) -> tuple[str, ...]:
    """The dialects to try, best first.

    >>> candidates(LlmConfig(provider="openai", structured_output="json_schema"))
    ('json_schema', 'json_schema/plain')
    >>> candidates(LlmConfig(api="completion", structured_output="text"))
    ('completion',)
    """
    return _continuations(llm.structured_output) if llm.continues else _answers(llm.structured_output)


def best(llm: LlmConfig) -> Terms:
    """What llama.cpp takes, which serves the embedded model: the first of either kind."""
    return Terms(_answers(llm.structured_output)[0], _continuations(llm.structured_output)[0])


def _answers(wanted: str) -> tuple[str, ...]:
    return DIALECTS if wanted == "auto" else tuple(dialect for dialect in DIALECTS if shown(dialect) == wanted)


def _continuations(wanted: str) -> tuple[str, ...]:
    return {"auto": CONTINUATIONS, "json_schema": CONTINUATIONS[:-1]}.get(wanted, CONTINUATIONS[-1:])


def shown(dialect: str) -> str:
    """The name of a dialect in the calls table."""
    return dialect.partition("/")[0]


def form(dialect: str, prompt: Prompt) -> dict[str, Any]:
    """The parameters of a call's body that ask for the form of its answer; none for plain text and for prompts without a schema."""
    if dialect in UNFORMED or not prompt.schema:
        return {}
    if dialect == "json_object":
        return {"response_format": {"type": "json_object"}}
    if dialect == "json_object/schema":
        return {"response_format": {"type": "json_object", "schema": prompt.schema}}
    if dialect == "completion/json_schema":
        return {"json_schema": prompt.schema}
    if dialect == "tool":
        function = {"name": prompt.schema_name, "description": "Takes the answer.", "parameters": prompt.schema}
        choice = {"type": "function", "function": {"name": prompt.schema_name}}
        return {"tools": [{"type": "function", "function": function}], "tool_choice": choice}
    schema = without_limits(prompt.schema) if dialect == "json_schema/plain" else prompt.schema
    named = {"name": prompt.schema_name, "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def without_limits(schema: Any) -> Any:
    """The schema without lengths and counts, which some servers refuse. Property names are left alone.

    >>> without_limits({"type": "array", "items": {"type": "string", "maxLength": 9}, "minItems": 2})
    {'type': 'array', 'items': {'type': 'string'}}
    """
    if isinstance(schema, list):
        return [without_limits(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: without_limits(part) for name, part in value.items()}
        elif key not in LIMIT_KEYS:
            kept[key] = without_limits(value)
    return kept
