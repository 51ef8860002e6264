"""Asking again where an answer could not be used: once more with the fault said, and shorter where it was cut off."""

from dataclasses import replace

from synalign_spark.generation.prompts import Prompt
from synalign_spark.generation.reading import Parsed

MENDABLE = ("unparsable", "truncated")  # a refused answer would be refused again
MAX_FAULT_CHARS = 200  # two lines: what is wrong stands in the first words, the rest would quote the answer


def asked_again(prompt: Prompt, parsed: Parsed) -> Prompt:
    """The prompt with a line on what was wrong with the last answer before its last message; the answer itself is not sent again.

    A text to be continued has no messages: it stays as it is, and another seed continues it otherwise.

    >>> first = Prompt(({"role": "user", "content": "Write one text. JSON: ..."},), {}, "rows")
    >>> print(asked_again(first, Parsed("unparsable", "the answer is empty")).messages[-1]["content"])
    Your last answer was not usable: the answer is empty. Answer again with one JSON object and nothing else.
    <BLANKLINE>
    Write one text. JSON: ...
    """
    if not prompt.messages:
        return prompt
    if parsed.status == "truncated":
        said = "Your last answer was too long and was cut off. Answer again, shorter, with one JSON object and nothing else."
    else:
        fault = " ".join((parsed.detail or "no JSON").split())[:MAX_FAULT_CHARS]
        said = f"Your last answer was not usable: {fault}. Answer again with one JSON object and nothing else."
    *before, last = prompt.messages
    # One message, since the chat templates of some models refuse two of a user in a row.
    return replace(prompt, messages=(*before, last | {"content": f"{said}\n\n{last['content']}"}))
