"""What a template may use: the variables with their meaning, and example values to try a template with."""

from typing import Any


class Words(str):
    """Words of the configuration or of this package, which a template prints as they are; every other text it prints in quotes."""

    __slots__ = ()


VARIABLES: dict[str, str] = {
    "task": "what one row is, from `generate.task`",
    "language": "language of the rows, from `generate.language`",
    "label": "the label to write, or none where the corpus has no labels",
    "task_names_label": "whether `task` names the label already, where `generate.task` has `{label}` in it",
    "description": "what `generate.label_descriptions` says of the label, or none",
    "labels": "all labels, each with `name` and `description` (or none); at most 100",
    "other_labels": "those of `labels` that are not to be written",
    "n_rows": "how many rows to write in this answer",
    "number": "the number of the request among those of the label, where nothing else tells them apart (simprompt), else none",
    "length": (
        "how long the real rows of the cluster are, from the 10th to the 90th percentile: `low`, `high` and `unit` ('words', or "
        "'characters' where a script has no spaces); none where no demonstrations stand behind the rows"
    ),
    "max_words": "how many words a row can have at most, by `generate.max_chars` and `generate.llm.max_output_tokens`",
    "attributes": "the attributes, each with `name`, `hint` (what is meant, or none) and `value` (what step 1 said; none in step 1)",
    "demonstrations": "the real rows to show, in step 2 none unless `generate.show_demonstrations` or the strategy says so",
    "keywords": "at most five words that are much commoner in the demonstrations than in the sets of the label up to this one",
    "fields": "what one row consists of, each with `name` and `description`, from `generate.fields`; none where a row is one text",
}
FILTERS: dict[str, str] = {
    "data": "a JSON string literal, as a text is printed anyway; for names that are keys",
    "line": "without quotes on one line, for prompts that a model continues",
}


def example(step: str) -> dict[str, Any]:
    """Values of all variables as a step has them, with everything there is. step: 'attributes' or 'rows'."""
    label = {"name": "good", "description": "praises the film"}
    other = {"name": "bad", "description": None}
    tone = {"name": Words("tone"), "hint": Words("the writer's mood"), "value": "warm"}
    full: dict[str, Any] = {
        "task": Words("a sentence from a film review"),
        "task_names_label": False,
        "language": Words("English"),
        "label": label["name"],
        "description": label["description"],
        "labels": [label, other],
        "other_labels": [other],
        "n_rows": 5,
        "number": 3,
        "length": {"low": 8, "high": 30, "unit": Words("words")},
        "max_words": 40,
        "attributes": [tone, {"name": Words("weather"), "hint": None, "value": "rain"}],
        "demonstrations": ["a fine film", "one of the year's best"],
        "keywords": ["film"],
        "fields": [{"name": Words("title"), "description": Words("a headline")}],
    }
    if step == "rows":
        return full
    return full | {"attributes": [known | {"value": None} for known in full["attributes"]]}
