"""Tiny calls that ask an endpoint for a word: to find out how it is asked, or whether it is up again."""

import dataclasses

from synalign_spark.config import LlmConfig
from synalign_spark.generation.calls import Request, make_request
from synalign_spark.generation.dialects import UNFORMED
from synalign_spark.generation.prompts import Prompt, rows_schema

SCHEMA = rows_schema(1, 1, 40)
ORDER = {"role": "system", "content": "Answer with one JSON object only."}  # as the prompts of a run have one
WORD = {"role": "user", "content": 'Write one text: the word hello. JSON: {"rows": [1 string]}'}
IN_CHAT = Prompt((ORDER, WORD), SCHEMA, "rows")
IN_JSON = Prompt((), SCHEMA, "rows", text='The word river as JSON: {"rows": ["river"]}\nThe word hello as JSON:')
IN_A_LIST = Prompt((), {}, "", text="Words:\n- river\n- garden\n-", stop=("\n",))
WORD_TOKENS = 64  # for a word, and a first sentence of reasoning before it


def probe_request(llm: LlmConfig, dialect: str, number: int) -> Request:
    """A call with the very parameters of the run. number: tells apart tries, which sample differently."""
    continued = IN_A_LIST if dialect in UNFORMED else IN_JSON
    return make_request("probe", None, continued if llm.continues else IN_CHAT, llm, f"probe:{number}")


def choices_request(llm: LlmConfig, number: int) -> Request:
    """A call for two answers to one prompt. number: as in ``probe_request``."""
    return make_request("probe", None, dataclasses.replace(IN_A_LIST, choices=2), llm, f"probe:choices:{number}")


def word_request(request: Request) -> Request:
    """A call like ``request``, for a word in no form: a server that fails at the form alone is up."""
    prompt = IN_A_LIST if request.prompt.text else dataclasses.replace(IN_CHAT, schema={})
    return dataclasses.replace(request, prompt=prompt, max_output_tokens=min(WORD_TOKENS, request.max_output_tokens))
