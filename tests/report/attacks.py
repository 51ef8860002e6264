"""Texts that would run, load or hide something were they taken for markup, and findings made of them."""

import dataclasses

ATTACKS = [
    "<script>window.ran = 1</script>",
    "</script><script>window.ran = 2</script>",
    "<img src=x onerror='window.ran = 3'>",
    '"><svg onload="window.ran = 4">',
    "' onfocus='window.ran = 5' autofocus tabindex='0",
    "<a href=\"javascript:window.ran = 6\">there</a>",
    "</style><style>body { display: none }</style>",
    "--><!-- ]]> </title></textarea></noscript><iframe src='https://example.invalid/'></iframe>",
    "\u2028\u2029\\u003cscript\\u003ewindow.ran = 7 \u202e\u2066 ${window.ran = 8} {{ 7 * 7 }}",
]  # fmt: skip
ATTACK = " ".join(ATTACKS)


def hostile(value):
    """The value with an attack in place of each of its texts; names of columns stay."""
    if isinstance(value, str):
        return ATTACK
    if isinstance(value, list):
        return [hostile(inner) for inner in value]
    if isinstance(value, dict):
        return {name: hostile(inner) for name, inner in value.items()}
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(value, **{one.name: hostile(getattr(value, one.name)) for one in dataclasses.fields(value)})
    return value


def attacked(findings):
    """Findings all of whose texts are attacks: rows, labels, ids, verdicts, reasons, names of attributes and the run's."""
    changed, attributes = hostile(findings), {ATTACK: ATTACK}
    row = {**changed.highest[0], "attributes": attributes}
    points = dataclasses.replace(changed.points, sets={ATTACK: {"attributes": attributes, "demo_ids": [ATTACK, "e"]}})
    generation = dataclasses.replace(
        changed.generation, calls={(ATTACK, ATTACK): 1}, refused={ATTACK: 2}, examples={ATTACK: changed.generation.examples["copied"]}
    )
    figure = {"value": 0.5, "low": None, "high": None, "meaning": ATTACK, "better": ATTACK}
    steps = {ATTACK: {"seconds": 1.0, "summary": {ATTACK: ATTACK}}}
    return dataclasses.replace(
        changed, points=points, generation=generation, highest=[row], lowest=[row], evaluation={ATTACK: {"weighted": figure}}, steps=steps,
        certificate=[*changed.certificate[:2], {**changed.certificate[2], "label": None}],
    )  # fmt: skip
