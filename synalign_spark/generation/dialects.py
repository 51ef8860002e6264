"""How a server is asked for JSON. Servers differ: a schema, a schema without limits, just JSON, or nothing."""

from typing import Any

from synalign_spark.generation.prompts import Prompt

# In the order in which they are tried. The part before the slash is what the calls table shows.
DIALECTS = ("json_schema", "json_schema/plain", "json_object/schema", "json_object", "text")
LIMIT_KEYS = frozenset({"minLength", "maxLength", "minItems", "maxItems"})


def candidates(structured_output: str) -> tuple[str, ...]:
    """The dialects to try for the configured value; 'auto' tries all."""
    return DIALECTS if structured_output == "auto" else tuple(d for d in DIALECTS if shown(d) == structured_output)


def shown(dialect: str) -> str:
    return dialect.partition("/")[0]


def response_format(dialect: str, prompt: Prompt) -> dict[str, Any] | None:
    """The ``response_format`` parameter of a call; None for plain text."""
    if dialect == "text":
        return None
    if dialect == "json_object":
        return {"type": "json_object"}
    if dialect == "json_object/schema":
        return {"type": "json_object", "schema": prompt.schema}
    schema = without_limits(prompt.schema) if dialect == "json_schema/plain" else prompt.schema
    return {"type": "json_schema", "json_schema": {"name": prompt.schema_name, "schema": schema, "strict": True}}


def without_limits(schema: Any) -> Any:
    """The schema without lengths and counts, which some servers refuse. Property names are left alone."""
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
