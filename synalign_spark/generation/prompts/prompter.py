"""The prompts of one run: what is known of a label, a demonstration set and the rows to write, put into the templates."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from synalign_spark.config import GenerateConfig
from synalign_spark.config.generation import LABEL_MARK
from synalign_spark.errors import ConfigError
from synalign_spark.generation.prompts import attributes as known_attributes
from synalign_spark.generation.prompts.lengths import CHARS_A_WORD, Length
from synalign_spark.generation.prompts.prompt import Prompt, as_data, as_line, attributes_schema, row_chars, rows_schema, shorten
from synalign_spark.generation.prompts.templates import check_templates, render
from synalign_spark.generation.prompts.variables import Words

MOST_LABELS = 100  # named in a prompt: some 400 tokens of names
LINE, PARAGRAPH = "\n", "\n\n"  # where a continuation stops: after one row, or after several


class Prompter:
    """Writes the prompts of a run.

    labels: all labels of the corpus, null for none, or empty where they are not known yet. A model that continues text gets other prompts than one that answers in a chat.
    Raises ConfigError for templates that do not work and for descriptions of labels that the corpus does not have."""

    def __init__(self, cfg: GenerateConfig, labels: Iterable[str | None]) -> None:
        if cfg.llm.continues and cfg.fields:
            raise ConfigError("generate.fields needs a model that answers in JSON; remove them, or set generate.llm.api to chat")
        self._cfg, self._completion = cfg, cfg.llm.continues
        labels = list(labels)
        if LABEL_MARK in cfg.task and None in labels:
            raise ConfigError(f"generate.task {cfg.task!r} has {LABEL_MARK} in it, but the corpus has no labels; take it out")
        self._labels = _described(labels, cfg.label_descriptions)
        self._templates = check_templates(cfg.prompts)
        self._try(labels)

    def _try(self, labels: Sequence[str | None]) -> None:
        """Renders both steps for each label as the run will: a template may count on descriptions that this run has.

        Raises ConfigError for a template that this run cannot use."""
        texts, length = (("a", "b"), Length(1, 2)) if self._cfg.strategy in ("synalign", "fewshot") else ((), None)
        with_attributes = self._cfg.strategy in ("synalign", "attrprompt")
        for label in labels:
            if self._cfg.strategy == "synalign":
                self.attributes(label, texts, length)
            self.rows(label, dict.fromkeys(self._cfg.attributes, "x") if with_attributes else None, texts, length)

    def notes(self) -> list[str]:
        """In words, where the prompts of a label do not differ: templates that use nothing of what does. None where a template works with other
        values than those that are tried here, such as a label where none is known yet: what a run cannot use is told by the run."""
        try:
            step_1, step_2 = self._tried()
        except ConfigError:
            return []
        return [
            f"generate.prompts: the prompts {of} are the same for every call of a label, so that nothing but the seed varies; "
            f"have the template use {what}"
            for said, of, what in (
                (step_1, "for attributes", "demonstrations"),
                (step_2, "for rows", "attributes, demonstrations or number"),
            )
            if len(said) == 1
        ]

    def _tried(self) -> tuple[set[str], set[str]]:
        """The prompts of both steps for two calls of a label that have nothing in common; none of a step that there is not."""
        label = next(iter(self._labels), None)
        shows = self._cfg.strategy in ("synalign", "fewshot")
        step_1: set[str] = set()
        step_2: set[str] = set()
        for i in (1, 2):
            texts, length, words = ((f"text {i}", f"row {i}"), Length(i, i + 1), (f"word {i}",)) if shows else ((), None, ())
            given = dict.fromkeys(self._cfg.attributes, f"value {i}") if self._cfg.strategy in ("synalign", "attrprompt") else None
            if self._cfg.strategy == "synalign":
                step_1.add(self.attributes(label, texts, length, words).said)
            step_2.add(self.rows(label, given, texts, length, None, words, i if given is None and not shows else None).said)
        return step_1, step_2

    def attributes(self, label: str | None, texts: Sequence[str], length: Length | None = None, keywords: Sequence[str] = ()) -> Prompt:
        """Step 1: which latent attributes do the rows of a demonstration set share?

        texts: the demonstrations; length: of their cluster; keywords: words that stand out in them."""
        cfg = self._cfg
        values = self._values(label, texts, length, keywords, cfg.rows_per_request, cfg.max_chars)
        values |= {"attributes": self._attributes(cfg.attributes, {})}
        if self._completion:
            schema = attributes_schema(cfg.attributes, known_attributes.choices(cfg.attributes, cfg.attribute_values))
            return self._continuation("completion_attributes.j2", values, schema, "attributes", PARAGRAPH)
        return self._chat("attributes.j2", values, attributes_schema(cfg.attributes), "attributes")

    def rows(
        self,
        label: str | None,
        attributes: Mapping[str, str] | None = None,
        texts: Sequence[str] = (),
        length: Length | None = None,
        n_rows: int | None = None,
        keywords: Sequence[str] = (),
        number: int | None = None,
    ) -> Prompt:
        """Step 2: new rows from attributes (synalign, attrprompt), from demonstrations (fewshot) or from the label alone (simprompt).

        attributes: name to value; texts: the demonstrations of the set, shown where ``generate.show_demonstrations`` or the strategy
        says so; length: of their cluster; n_rows: None asks for ``generate.rows_per_request``; keywords: words that stand out in the
        demonstrations; number: of the request among those of the label, where nothing else tells their prompts apart."""
        cfg = self._cfg
        n_rows = n_rows or cfg.rows_per_request
        choices = n_rows if cfg.rows_apart else 1
        longest = row_chars(n_rows // choices, cfg.max_chars, cfg.llm.max_output_tokens, "".join(texts))
        values = self._values(label, texts, length, keywords, n_rows, longest)
        given = attributes or {}
        values |= {"attributes": self._attributes(given, given), "number": number}
        if not cfg.shows_in_rows:
            values["demonstrations"] = []
        if self._completion:
            return self._continuation("completion_rows.j2", values, {}, "rows", LINE if n_rows == choices else PARAGRAPH, choices)
        schema = rows_schema(n_rows, cfg.min_chars, longest, [field.name for field in cfg.fields])
        return self._chat("rows.j2", values, schema, "rows")

    def _values(
        self, label: str | None, texts: Sequence[str], length: Length | None, keywords: Sequence[str], n_rows: int, longest: int
    ) -> dict[str, Any]:
        """What both steps know. longest: characters that a row may have."""
        cfg, fitting = self._cfg, length.within(longest) if length else None
        others = list(islice((one for name, one in self._labels.items() if name != label), MOST_LABELS - 1)) if label is not None else []
        return {
            "task": self._task(label),
            "task_names_label": LABEL_MARK in cfg.task,
            "language": Words(cfg.language),
            "label": label,
            "description": cfg.label_descriptions.get(label) if label is not None else None,
            "labels": [self._labels[label], *others] if label in self._labels else others,
            "other_labels": others,
            "n_rows": n_rows,
            "number": None,
            "length": {"low": fitting.low, "high": fitting.high, "unit": Words(fitting.unit)} if fitting else None,
            "max_words": max(1, longest // CHARS_A_WORD),
            "demonstrations": [shorten(text) for text in texts],
            "keywords": list(keywords),
            "fields": [{"name": Words(field.name), "description": Words(field.description)} for field in cfg.fields],
        }

    def _task(self, label: str | None) -> Words:
        """What one row is; with the label where the task has a place for it, as data."""
        return Words(self._cfg.task.replace(LABEL_MARK, (as_line if self._completion else as_data)(label or "")))

    def _attributes(self, names: Iterable[str], values: Mapping[str, str]) -> list[dict[str, Any]]:
        hints = {name: known_attributes.hint(name, self._cfg.attribute_values) for name in names}
        return [{"name": Words(name), "hint": text and Words(text), "value": values.get(name)} for name, text in hints.items()]

    def _chat(self, template: str, values: Mapping[str, Any], schema: dict[str, Any], name: str) -> Prompt:
        system, user = (render(self._templates, file, values) for file in ("system.j2", template))
        return Prompt(({"role": "system", "content": system}, {"role": "user", "content": user}), schema, name)

    def _continuation(
        self, template: str, values: Mapping[str, Any], schema: dict[str, Any], name: str, stop: str, choices: int = 1
    ) -> Prompt:
        return Prompt((), schema, name, render(self._templates, template, values), (stop,), choices)


def _described(labels: Iterable[str | None], descriptions: Mapping[str, str]) -> dict[str | None, dict[str, Any]]:
    """The labels by name, each with its description. Raises ConfigError for a description of another label."""
    given = list(labels)
    names = sorted(label for label in given if label is not None)
    if given and (unknown := sorted(set(descriptions) - set(names))):
        there = f"the labels are {', '.join(names)}" if names else "the corpus has no labels"
        raise ConfigError(f"generate.label_descriptions describes {', '.join(map(repr, unknown))}, but {there}; correct or remove it")
    return {name: {"name": name, "description": descriptions.get(name)} for name in names}
