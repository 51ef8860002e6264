"""How synthetic rows are asked for, and what a row is."""

import difflib
import math
import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from synalign_spark.config import presets
from synalign_spark.config.endpoints import Endpoint, EndpointConfig, check_several, endpoints
from synalign_spark.config.language_model import EMBEDDED_CHOICES, LimitsConfig, LlmConfig
from synalign_spark.config.languages import check_language
from synalign_spark.config.section import OfLabels, Positive, Section, Share
from synalign_spark.config.source import SourceConfig
from synalign_spark.core import defaults
from synalign_spark.core.text import plain_name

Gate = Literal["form", "meta", "pii", "length", "language", "copied", "near_duplicate"]
LABEL_MARK = "{label}"  # in generate.task
PLACEHOLDER = r"\{(\w+)\}"  # a field in generate.text_template
NOT_A_NAME = r"(?!\{\w+\})\{\s*(\w+)\s*(?:[.\[!:][^{}]*)?\}"  # what str.format would look into, and a name between spaces


class FieldConfig(Section):
    """One part of a row that consists of several."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Key of the part in an answer and in the table's `fields`.")
    description: str = Field(min_length=1, description="What stands in it, for the prompts.")


class GenerateConfig(Section):
    """How synthetic rows are asked for, and which answers become rows."""

    preset: Literal["paper-sst2", "paper-agnews", "paper-amazon"] | None = Field(
        None, description="Sets task, attributes and attributes_from as in the experiments of Ren et al. 2025, where they are not given."
    )
    strategy: Literal["synalign", "fewshot", "simprompt", "attrprompt", "imported"] = Field(
        "synalign", description="How rows are asked for; imported takes generate.imported and calls no model."
    )
    task: str = Field(
        "a text",
        min_length=1,
        description="What one row is, for the prompts: 'a sentence from a movie review', or 'a sentence from a {label} movie review' where "
        "the label's name says more at its place than behind the words.",
    )
    language: str = Field("English", min_length=1, description="Language of the rows, by its English name; the prompts are in English.")
    prompts: str = Field(
        "built-in", min_length=1, description="'built-in', or a folder of templates that replace some or all of the built-in ones."
    )
    label_descriptions: OfLabels[str] = Field(
        default_factory=dict, description="What a label means, for the prompts: label to text; labels without one stand by their name."
    )
    fields: list[FieldConfig] = Field(
        default_factory=list,
        description="Parts of a row (name and description of each), such as title and body; a row is then one JSON object of texts.",
    )
    text_template: str | None = Field(
        None, description="How the text of a row is made of its fields, '{title}\\n{body}'; null puts them under each other."
    )
    show_demonstrations: bool | None = Field(
        None, description="Whether step 2 of synalign shows the demonstrations too; null does where a model continues text, not in a chat."
    )
    target_rows: Positive = Field(1_000, description="Accepted rows to end with.")
    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = Field(
        None,
        description="Port of this machine at which a Prometheus server finds the figures of the generation while it runs; null for none.",
    )
    max_candidates: Positive | None = Field(
        None, description="Stop after this many candidate rows; null is 5 * target_rows, or one call's."
    )
    rows_per_request: Positive = Field(5, description="Rows asked for in one call, fewer where a label lacks fewer.")
    max_rows_per_set: Positive | None = Field(
        None,
        description=f"Candidate rows asked for from one demonstration set at most; null is {defaults.ROWS_A_SET}, or rows_per_request where that is more. "
        "No prompt is sent twice for it, unless the number is larger than that.",
    )
    max_reasks: int = Field(
        1, ge=0, description="How often a call is asked again whose answer does not parse (the fault is said) or was cut off (fewer rows)."
    )
    attributes: list[str] = Field(
        default_factory=lambda: ["topic", "tone", "style", "formality", "sentiment intensity", "perspective", "length"],
        min_length=1, description="Latent attributes of stage 1.",
    )  # fmt: skip
    attributes_from: Positive | None = Field(
        None, description="Demonstrations of a set that step 1 states the attributes of, the first ones; null for all."
    )
    attribute_values: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Values of an attribute: attrprompt draws from them, a model that continues text chooses among them, a chat is told "
        "the first as hints; attributes without an entry use built-in lists (in a chat: a description).",
    )
    label_shares: OfLabels[float] | None = Field(None, description="Target share of each label; null follows the corpus.")
    min_chars: Positive = Field(10, description="Shortest accepted row.")
    max_chars: Positive = Field(2_000, description="Longest accepted row.")
    gates: list[Gate] = Field(
        default_factory=lambda: list(get_args(Gate)),
        description="What else a row is refused for, see the guide on gates; [] refuses only empty rows, repetitions of the very same "
        "text and rows outside of min_chars and max_chars.",
    )
    copy_overlap: Share = Field(
        0.6, description="Gate copied: refuse a row when this share of its n-grams (5 words, or 6 characters) stands in one real row."
    )
    pii: Annotated[Literal["off", "refuse", "mask"], BeforeValidator(lambda value: "off" if value is False else value)] = Field(
        "refuse", description="Gate pii: refuse rows with personal data, or replace it by <EMAIL>, <PHONE>, <CARD>, <IBAN>, <SSN>, <IP>."
    )
    label_agreement: Share | None = Field(
        None, description="Refuse a row when p(its label | text), by a classifier of the real rows, is below this; null asks nobody."
    )
    imported: SourceConfig = Field(default_factory=SourceConfig, description="The existing synthetic set, for strategy imported.")
    llm: LlmConfig = Field(default_factory=LlmConfig, description="The language model.")
    llms: list[EndpointConfig] | None = Field(
        None,
        min_length=1,
        description="Several endpoints or models at once, each with the keys that differ from generate.llm ({} for none), its limits, prices "
        "and weight; stored answers are found by generate.llm.model, whichever of them gave them.",
    )
    limits: LimitsConfig = Field(default_factory=LimitsConfig, description="Rate limits and budgets.")

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where calls go: that of ``llm``, or those of ``llms``."""
        return endpoints(self.llm, self.limits, self.llms)

    @property
    def most_in_flight(self) -> int:
        """Calls that are handed over and not answered yet, at most."""
        return self.llm.batch_requests if self.llm.mode == "batch" else sum(one.llm.concurrency for one in self.endpoints)

    @property
    def models(self) -> str:
        """The models, by their names.

        >>> GenerateConfig(llm=LlmConfig(provider="openai", model="b"), llms=[{}, {"model": "a"}]).models
        'b, a'
        """
        return ", ".join(dict.fromkeys(one.llm.model for one in self.endpoints))

    @property
    def shows_in_rows(self) -> bool:
        """Whether step 2 shows the demonstrations too."""
        shown = self.show_demonstrations
        return self.strategy == "fewshot" or (self.strategy == "synalign" and (self.llm.continues if shown is None else shown))

    @property
    def rows_apart(self) -> bool:
        """Whether the rows of a call are as many answers to one prompt, see ``llm.rows_as_choices``.

        >>> [GenerateConfig(rows_per_request=n).rows_apart for n in (1, 8, 9)]
        [False, True, False]
        """
        given, llm = self.llm.rows_as_choices, self.llm
        usual = llm.provider == "embedded" and llm.continues and llm.temperature != 0 and 1 < self.rows_per_request <= EMBEDDED_CHOICES
        return usual if given is None else given

    @property
    def most_rows_a_set(self) -> int:
        """Candidate rows that one demonstration set is asked for at most, in whole calls."""
        return (self.max_rows_per_set or self._default_rows_a_set) // self.rows_per_request * self.rows_per_request

    @property
    def _default_rows_a_set(self) -> int:
        return max(defaults.ROWS_A_SET, self.rows_per_request)

    def prompts_a_set(self, n_shown: int, n_stated: int | None = None) -> int | None:
        """Different prompts for rows that one demonstration set allows: each shows what it is written from in another order. None where
        max_rows_per_set is larger than its default: who asks for more is given the same prompt twice.

        n_shown: demonstrations in it; n_stated: attributes that step 1 stated of it, None where it was not asked yet, for all that it
        will be asked for."""
        if self.max_rows_per_set is not None and self.max_rows_per_set > self._default_rows_a_set:
            return None
        orders = math.factorial(n_shown) if self.shows_in_rows else 1
        if self.strategy != "fewshot":
            orders *= math.factorial(len(self.attributes) if n_stated is None else n_stated)
        return orders

    def calls_a_set(self, n_shown: int, n_stated: int | None = None) -> int:
        """Whole calls for rows that one demonstration set allows, see ``prompts_a_set``.

        >>> fewshot = GenerateConfig(strategy="fewshot", rows_per_request=1)
        >>> fewshot.calls_a_set(2), fewshot.calls_a_set(5)
        (2, 10)
        >>> GenerateConfig(rows_per_request=1, llm=LlmConfig(api="chat")).calls_a_set(5, n_stated=2)
        2
        """
        calls, prompts = self.most_rows_a_set // self.rows_per_request, self.prompts_a_set(n_shown, n_stated)
        return calls if prompts is None else min(calls, prompts)

    @property
    def most_candidates(self) -> int:
        """Candidate rows after which it stops: those of one call at least."""
        return self.max_candidates or max(5 * self.target_rows, self.rows_per_request)

    def rows_a_set(self, n_shown: int) -> int:
        """Candidate rows that one demonstration set brings at most. n_shown: demonstrations in it."""
        return self.calls_a_set(n_shown) * self.rows_per_request

    @field_validator("attribute_values", mode="before")
    @classmethod
    def _none_given(cls, values: Any) -> Any:
        """null takes away those of a file below, to whose keys an empty mapping would add none."""
        return {} if values is None else values

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, values: Any) -> Any:
        return presets.with_preset(values, presets.GENERATE)

    @model_validator(mode="after")
    def _consistent(self) -> "GenerateConfig":
        if self.pii == "mask" and "pii" not in self.gates:
            raise ValueError(
                "pii is 'mask', but gates leaves pii out, so that nothing would be masked; add pii to gates, or set pii to 'off'"
            )
        if self.copy_overlap == 0:
            raise ValueError(
                "copy_overlap is 0, and every row has at least that share of a real row; give a share above 0, or leave 'copied' out of gates"
            )
        if self.copy_overlap != type(self).model_fields["copy_overlap"].default and "copied" not in self.gates:
            raise ValueError(f"copy_overlap is {self.copy_overlap:g}, but gates leaves 'copied' out; add it there, or remove copy_overlap")
        given = self.imported.place
        if self.strategy == "imported" and not given:
            raise ValueError("strategy 'imported' needs generate.imported.path, generate.imported.table or generate.imported.query")
        if self.strategy != "imported" and given:
            raise ValueError(f"imported is set but strategy is '{self.strategy}'; set strategy to 'imported' or remove it")
        if self.strategy != "imported" and self.imported != SourceConfig():
            keys = ", ".join(sorted(name for name, value in self.imported if value != getattr(SourceConfig(), name)))
            raise ValueError(
                f"imported is set ({keys}), but imported.path is not; name the rows and set strategy to 'imported', or remove it"
            )
        if self.show_demonstrations and self.strategy not in ("synalign", "fewshot"):
            raise ValueError(
                f"show_demonstrations is true but strategy '{self.strategy}' has none; set strategy to 'synalign' or 'fewshot'"
            )
        if self.show_demonstrations is False and self.strategy == "fewshot":
            raise ValueError("show_demonstrations is false but strategy 'fewshot' writes from them alone; set it to null")
        self._check_fields()
        self._check_attributes()
        self._check_rows()
        check_language(self.language)
        if self.llm.backend == "in_process" and self.llm.ray_address:
            raise ValueError("llm.ray_address is set but llm.backend is 'in_process'; set llm.backend to 'ray' or remove the address")
        if self.llm.mode == "batch" and self.llm.ray_address:
            raise ValueError(
                "llm.ray_address is set but llm.mode is 'batch', which needs no Ray; remove the address, or set llm.mode to 'calls'"
            )
        if self.llm.rows_as_choices and self.rows_per_request == 1:
            raise ValueError(
                "llm.rows_as_choices is true and rows_per_request is 1, which is one answer; raise it, or remove llm.rows_as_choices"
            )
        if self.llm.rows_as_choices and self.llm.provider == "embedded" and self.rows_per_request > EMBEDDED_CHOICES:
            raise ValueError(
                f"rows_per_request is {self.rows_per_request}, and llm.rows_as_choices has an embedded model write {EMBEDDED_CHOICES} answers to a "
                "prompt at most; lower it, or set llm.rows_as_choices to false"
            )
        if self.max_rows_per_set is not None and self.max_rows_per_set < self.rows_per_request:
            raise ValueError(
                f"max_rows_per_set is {self.max_rows_per_set}, less than the rows_per_request={self.rows_per_request} of one call; "
                "raise max_rows_per_set or lower rows_per_request"
            )
        if self.llms is not None:
            check_several(self.llm, self.limits, self.llms)
        for one in self.endpoints:
            if (one.llm.price_input_usd is None) != (one.llm.price_output_usd is None):
                raise ValueError(
                    f"one of price_input_usd and price_output_usd is set for {one.llm.name}, and a cost needs both; give the other too"
                )
        priced = all(one.llm.prices_usd(by_batch=False) is not None for one in self.endpoints)
        if self.limits.max_cost_usd is not None and not priced:
            raise ValueError("limits.max_cost_usd needs llm.price_input_usd and llm.price_output_usd, or those of every entry of llms")
        return self

    def _check_fields(self) -> None:
        """Raises ValueError for fields of one name and for a text template that does not fit them."""
        names = [field.name for field in self.fields]
        if twice := _twice(names):
            raise ValueError(
                f"fields names {', '.join(twice)}, which are one name: capitals, hyphens, underscores and blanks tell no names apart; rename one"
            )
        if self.text_template is None:
            return
        if not names:
            raise ValueError("text_template is set but fields is empty; name the fields that it puts together")
        if not_names := re.search(NOT_A_NAME, self.text_template):
            raise ValueError(
                f"text_template {self.text_template!r} has {not_names[0]} in it, and only a field's name may stand in braces; "
                f"write {{{not_names[1]}}} alone"
            )
        used = re.findall(PLACEHOLDER, self.text_template)
        if not used or set(used) - set(names):
            raise ValueError(f"text_template {self.text_template!r} must hold fields in braces; the fields are {', '.join(names)}")

    def _check_attributes(self) -> None:
        """Raises ValueError for attributes without a name or of one name, and for values of other attributes or none."""
        if not all(name.strip() for name in self.attributes):
            raise ValueError(f"attributes is {self.attributes}, with a blank name; remove it")
        if twice := _twice(self.attributes):
            raise ValueError(
                f"attributes names {', '.join(twice)}, which are one name: capitals, hyphens, underscores and blanks tell no names apart; keep one"
            )
        if self.attribute_values and self.strategy in ("fewshot", "simprompt"):
            raise ValueError(
                f"attribute_values is set, and strategy '{self.strategy}' has no attributes; set strategy to 'synalign' or 'attrprompt', or "
                "attribute_values to null"
            )
        for name, values in self.attribute_values.items():
            if name not in self.attributes:
                close = difflib.get_close_matches(name, self.attributes, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"they are {', '.join(self.attributes)}; add it there, or remove it here"
                raise ValueError(f"attribute_values has values of {name!r}, which is not among generate.attributes; {hint}")
            if not values or not all(value.strip() for value in values):
                raise ValueError(f"attribute_values.{name} is {values}; give at least one value and no blank one, or remove it")

    def _check_rows(self) -> None:
        """Raises ValueError for rows that nobody can write: of no length, in no call, of no label, or by a task with unknown places."""
        if self.min_chars > self.max_chars:
            raise ValueError(f"min_chars ({self.min_chars}) is above max_chars ({self.max_chars}); lower it, or raise max_chars")
        if self.max_candidates is not None and self.max_candidates < self.rows_per_request:
            raise ValueError(
                f"max_candidates is {self.max_candidates}, less than the rows_per_request={self.rows_per_request} of one call; "
                "raise max_candidates or lower rows_per_request"
            )
        shares = self.label_shares
        if shares is not None and not (all(share >= 0 for share in shares.values()) and 0 < sum(shares.values()) < math.inf):
            raise ValueError(f"label_shares is {shares}; give finite shares of at least 0 with a sum above 0, or null for the corpus's own")
        if braces := re.findall(r"\{[^{}]*\}?|\}", self.task.replace(LABEL_MARK, "")):
            raise ValueError(
                f"task {self.task!r} has {braces[0]} in it; {LABEL_MARK} is the one place that is filled in: write that, or no brace"
            )


def _twice(names: list[str]) -> list[str]:
    """The names that an answer would not tell apart, see ``plain_name``.

    >>> _twice(["sentiment intensity", "topic", "Sentiment_intensity"])
    ['Sentiment_intensity', 'sentiment intensity']
    """
    keys = [plain_name(name) for name in names]
    return sorted({name for name, key in zip(names, keys, strict=True) if keys.count(key) > 1})
