"""What answers cost, by the endpoint that gave them."""

from collections.abc import Sequence

from synalign_spark.config import LlmConfig
from synalign_spark.generation.calls import Answer


class Prices:
    """The configured prices of one endpoint or of several.

    An answer of an endpoint that is configured no more costs what its model does now, or as much as any does: an estimate on the high side.

    >>> one, other = (LlmConfig(provider="openai", model=m, price_input_usd=p, price_output_usd=2 * p) for m, p in (("a", 1.0), ("b", 3.0)))
    >>> prices = Prices([one, other])
    >>> prices.usd(Answer("1", "answered", prompt_tokens=10**6, completion_tokens=10**6, model="a", endpoint=one.public_url))
    3.0
    >>> prices.usd(Answer("1", "answered", prompt_tokens=10**6, completion_tokens=10**6, model="gone"))
    9.0
    """

    def __init__(self, llms: Sequence[LlmConfig]) -> None:
        self._llms = list(llms)

    @property
    def known(self) -> bool:
        """Whether there are any."""
        return self._of(self._llms, by_batch=False) is not None

    @property
    def lowest(self) -> tuple[float, float]:
        """The lowest price of a million prompt and of a million completion tokens, at which a call may go somewhere; zeros without prices."""
        found = [prices for llm in self._llms if (prices := llm.prices_usd(self._llms[0].mode == "batch")) is not None]
        return (min(prompt for prompt, _ in found), min(answer for _, answer in found)) if found else (0.0, 0.0)

    def usd(self, answer: Answer) -> float | None:
        """Each attempt at the prices of where it went; None without prices or without usage."""
        prompt, completion, by_batch = answer.prompt_tokens, answer.completion_tokens or 0, answer.batch_id is not None
        prices = self._at(answer.model, answer.endpoint, by_batch)
        if prompt is None or prices is None:
            return None
        usd = 0.0
        for spent in answer.elsewhere:
            theirs = self._at(spent.model, spent.endpoint, by_batch) or prices
            usd += spent.prompt_tokens * theirs[0] + spent.completion_tokens * theirs[1]
            prompt, completion = prompt - spent.prompt_tokens, completion - spent.completion_tokens
        return (usd + prompt * prices[0] + completion * prices[1]) / 1e6

    def _at(self, model: str | None, endpoint: str | None, by_batch: bool) -> tuple[float, float] | None:
        """The prices at an endpoint."""
        same = [llm for llm in self._llms if llm.model == model]
        own = [llm for llm in same if llm.public_url == endpoint]
        return self._of(own or same or self._llms, by_batch)

    @staticmethod
    def _of(llms: Sequence[LlmConfig], by_batch: bool) -> tuple[float, float] | None:
        """The highest prices of some endpoints; None where they have none."""
        found = [prices for llm in llms if (prices := llm.prices_usd(by_batch)) is not None]
        return (max(prompt for prompt, _ in found), max(answer for _, answer in found)) if found else None
