"""The page: well formed, offline, escaped, the same bytes for the same findings. No Spark."""

import dataclasses
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape

from synalign_spark.report.findings import Findings, Gain, Generation, LabelShare, MapPoints, Missing
from synalign_spark.report.map_data import map_json
from synalign_spark.report.map_picture import map_svg, stepped
from synalign_spark.report.page import drawn, render
from synalign_spark.report.terms import TERMS
from synalign_spark.report.verdict import CARE, DO_NOT, USE, headline, sentences, signal, three_figures

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Tags, ids, addresses and wrongly nested elements of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.addresses, self.open, self.wrong = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.addresses += [attrs[name] for name in ("href", "src", "xlink:href", "action") if name in attrs]
        self.addresses += re.findall(r"url\(([^)]*)\)", " ".join(value or "" for value in attrs.values()))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_page_is_well_formed_and_loads_nothing(rendered):
    page = Page(rendered)
    assert page.wrong == []
    assert page.open == []
    assert len(page.ids) == len(set(page.ids)), "two elements share an id"
    assert all(address.startswith("#") for address in page.addresses)
    assert {address[1:] for address in page.addresses} <= set(page.ids)
    assert not {"link", "img", "iframe", "object"} & set(page.tags)
    assert page.tags.count("script") == 2, "the page's own, and the data of the map, which is none"


def test_texts_from_data_are_escaped_and_cut(findings, rendered):
    page = rendered
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    assert "<b>x" not in page
    assert "{{ 7 * 7 }}" in page, "data is never taken for a template"
    assert "\u202e" not in page, "direction marks are dropped"
    long = dataclasses.replace(findings, highest=[{**findings.highest[0], "text": "word " * 10_000}])
    assert len(render(long)) < len(page) + 2_000


def test_same_findings_give_the_same_bytes(findings, rendered):
    assert render(findings) == rendered


def test_figures_name_themselves_to_screen_readers_and_follow_the_page_colours(findings):
    figures = drawn(findings)
    assert set(figures) == {"coverage", "weights", "labels", "path"}
    for name, svg in figures.items():
        assert f'aria-labelledby="{name}-title {name}-desc"' in svg
        assert "currentColor" in svg
        assert "mathdefault" not in svg
        assert "<dc:date>" not in svg
        assert "style" not in svg, "the page's policy lets no style in a tag pass"


def test_the_map_draws_every_row_once_a_layer_by_label_and_weight(findings):
    svg = map_svg(findings.points)
    layers = dict(re.findall(r'<g class="of-(\w+)">(.*?)</g>', svg))
    n = len(findings.points.real)
    drawn_points = {name: len(re.findall(r"M-?\d+ -?\d+h0", layer)) for name, layer in layers.items()}
    vanished = int((stepped(findings.points.relative) == 0).sum())
    assert drawn_points == {"real": n, "synthetic": n, "weighted": n - vanished, "lacking": 0}
    assert set(re.findall(r'class="(label-\d)"', layers["real"])) == {"label-0", "label-1"}
    assert len(set(re.findall(r'stroke-width="([^"]*)"', layers["synthetic"]))) == 1
    widths = sorted({float(one) for one in re.findall(r'stroke-width="([^"]*)"', layers["weighted"])})
    assert re.findall(r'<g class="of-lacking"><circle cx="\d+" cy="\d+" r="20"/><text [^>]*>7</text></g>', svg)
    assert "of-lacking" not in map_svg(dataclasses.replace(findings.points, lacking=[]))
    assert widths[1] == pytest.approx(widths[0] * 2**0.5, rel=0.05), "twice the weight, twice the area"


def test_the_data_of_the_map_name_each_row_and_what_stands_behind_it(findings):
    data = json.loads(map_json(findings.points))
    assert data["real"]["text"][5].startswith("real text 5 <script>")
    assert "\u202e" not in map_json(findings.points)
    assert not set("<>&") & set(map_json(findings.points))
    assert data["synthetic"]["set"] == [0] * 599 + [-1]
    assert data["synthetic"]["capped"][:4] == ["near_copy", None, None, "near_copy"]
    assert data["demonstrations"]["real"] == [1, -1]
    assert data["demonstrations"]["text"][1].startswith("shown elsewhere")
    bare = dataclasses.replace(findings.points, real_rows=[], synthetic_rows=[])
    assert map_json(bare) == ""
    assert "map-data" not in re.sub("<script>.*?</script>", "", render(dataclasses.replace(findings, points=bare)), flags=re.DOTALL)


def test_tick_labels_keep_their_digits(findings):
    assert ">0.022<" in drawn(findings)["path"]


def test_texts_in_figures_are_left_alone(findings):
    hostile = 'id="a #010203 0.12345'
    shares = [LabelShare(hostile, 1, 1, 1.0)]
    svg = drawn(dataclasses.replace(findings, labels=shares))["labels"]
    assert html.unescape(re.findall(r"<text[^>]*>(id[^<]*)<", svg)[0]) == hostile


def test_a_run_with_nothing_but_rows_still_has_a_page(findings):
    bare = Findings(
        run_id="bare", certificate=[], labels=[], weights=None, points=None, coverage=[], solver=[], mixing_weights=[], generation=Generation(), rejects=[],
        downstream=None, downstream_skipped="there are no weights yet", highest=[], lowest=[], steps={}, config="",
    )  # fmt: skip
    page = render(bare)
    assert Page(page).wrong == []
    assert "have not been aligned" in page
    assert "there are no weights yet" in page
    assert "This run has no witness table" in page


def missing_section(page):
    return page[page.index('<section id="missing">') : page.index('<section id="generation">')]


def test_missing_clusters_are_shown_with_an_escaped_example_each(rendered):
    section = missing_section(rendered)
    assert (
        "<b>negative</b>: 31.0% of the real distribution over clusters was missing before weighting, 12.5% is missing after it" in section
    )
    body = section[section.index("<tbody>") :]
    assert re.findall(r'<th scope="row">(\d+)</th><td class="left">(\w+)</td>', body) == [(str(i), "positive") for i in range(3)]
    assert "<td>10.0% (20)</td><td>6.0% → 5.0% (3)</td><td>5.0%</td><td>0.02000 → 0.01000</td>" in body
    assert body.count("&lt;script&gt;") == 3, "one example a cluster, escaped"
    assert "second" not in body
    assert "<script" not in section


def test_nothing_missing_is_said_in_words(findings):
    none = missing_section(render(dataclasses.replace(findings, missing=Missing(findings.missing.totals, []))))
    assert "reach the share of the real rows" in none
    assert "<table" not in none
    nameless = {**findings.missing.clusters[0], "label": None, "examples": []}
    shown = missing_section(render(dataclasses.replace(findings, missing=Missing([], [nameless]))))
    assert '<td class="left text">–</td></tr>' in shown


def test_one_point_and_many_labels_can_be_drawn(findings):
    one = MapPoints(np.zeros((1, 2)), [None], np.zeros((1, 2)), [None], np.ones(1), np.zeros(2))
    assert 'd="M24 696h0"' in map_svg(one)
    assert "show-label" not in re.sub(
        "<style>.*?</style>|<script>.*?</script>", "", render(dataclasses.replace(findings, points=one)), flags=re.DOTALL
    )
    labels = [f"label {i}" for i in range(12)]
    many = MapPoints(np.random.default_rng(0).normal(size=(12, 2)), labels, np.ones((12, 2)), labels, np.ones(12), np.zeros(2))
    assert "5 other labels" in render(dataclasses.replace(findings, points=many))
    assert "label-8" not in map_svg(many)


def test_refused_rows_are_shown_with_reasons_in_words(rendered):
    page = rendered
    section = page[page.index('<section id="generation">') : page.index('<section id="weights">')]
    assert "refused: copied from a real row</td><td>20</td>" in section
    assert "“said before” " in section
    assert "equals a real row" in section
    assert section.count("&lt;script&gt;") == 3, "an example, its detail, and a reason that nobody knows"


def test_differences_are_in_points_and_none_is_minus_nothing(findings):
    rows = [
        {**row, "closed_share": -0.0004, "closed_share_low": -0.004, "gain": -0.0001, "gain_error": 0.0001} for row in findings.certificate
    ]
    missing = Missing([{"label": None, "before": -0.0001, "after": 0.0}], [])
    page = render(dataclasses.replace(findings, certificate=rows, missing=missing))
    words = re.sub("<style>.*?</style>|<script.*?</script>|<svg.*?</svg>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert not re.findall(r"[-−]0(?:\.0+)?(?![\d.])%?", words)
    assert not re.findall(r"[+±] ?[\d.]+ ?%", words), "a difference of two shares is in points"


def test_figures_for_experts_are_folded(rendered):
    page = rendered
    folded = "".join(re.findall(r"<details>.*?</details>", page, flags=re.DOTALL))
    for name in ("path-title", "duality gap", "Table of mixing weights", "Table of the downstream check", "Table of stages"):
        assert name in folded
        assert page.count(f'"{name}"') == folded.count(f'"{name}"')


def test_verdict_tells_change_and_effective_rows_in_words(findings):
    assert headline(findings) == "The weighted rows are closer."
    found = sentences(findings)
    assert found[0].startswith("The weighted set is worth 80 of its 120 rows (effective sample size, 67%)")
    assert "70.0% of cases unweighted and 80.0% weighted: better with the weights (+10.0 points, 95% within ±3.9)" in found[1]
    assert (
        "on real rows it reaches 90.0%, on real and synthetic rows 92.0%: no difference beyond chance (+2.0 points, 95% within ±2.9)"
        in found[1]
    )
    assert found[2] == "120 synthetic rows were accepted (80% of those written), out of 60 calls and 9,000 tokens for 0.25 USD."
    assert found[3] == "6 picked clusters put 75% to 90% per label of the real rows within reach of a demonstration."


def test_whether_rows_help_beside_real_ones_is_said_once(findings):
    told = sentences(of_all(findings, gain=0.0, gain_error=0.001))[1]
    assert told.endswith("better with the weights (+10.0 points, 95% within ±3.9); trained on real rows it reaches 90.0%.")


@pytest.mark.parametrize(("gain", "words"), [(0.01, "no difference beyond chance"), (-0.1, "worse with the weights")])
def test_verdict_claims_no_gain_within_the_error(findings, gain, words):
    check = dataclasses.replace(findings.downstream, gain=Gain(gain, 0.02))
    assert words in sentences(dataclasses.replace(findings, downstream=check))[1]


def of_all(findings, **numbers):
    """The findings with other numbers in the certificate of all rows together."""
    rows = [{**row, **numbers} if row["label"] is None else row for row in findings.certificate]
    return dataclasses.replace(findings, certificate=rows)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({"mixing_weight": 300.0, "gain": 0.03, "gain_error": 0.01, "verdict": "use these rows with sample_weight: ..."}, USE),
        ({"mixing_weight": 300.0, "gain": 0.01, "gain_error": 0.01, "verdict": "use these rows with sample_weight if at all: ..."}, CARE),
        ({"mixing_weight": 300.0, "gain": 0.0, "gain_error": 0.0, "verdict": "no difference was seen: ..."}, CARE),
        ({"mixing_weight": 300.0, "gain": None, "gain_error": None, "verdict": "whether these rows help is not known: ..."}, CARE),
        ({"mixing_weight": 0.0, "gain": 0.0, "gain_error": 0.0, "verdict": "do not use these rows: ..."}, DO_NOT),
        ({"mixing_weight": 300.0, "gain": -0.03, "gain_error": 0.01, "verdict": "do not use these rows: ..."}, DO_NOT),
        (
            {"mixing_weight": 1_000.0, "gain": None, "gain_error": None, "verdict": "do not use these rows yet: all vectors are equal"},
            DO_NOT,
        ),
    ],
)
def test_the_signal_says_what_the_certificate_says(findings, numbers, expected):
    found = of_all(findings, **numbers)
    assert signal(found) == expected
    assert f'<span class="signal">{expected}</span>' in render(found)


def test_three_figures_answer_whether_how_close_and_at_what_cost(findings):
    found = of_all(findings, gain=0.021, gain_error=0.005, closed_share=0.5, closed_share_low=0.25, closed_share_high=0.75)
    helps, close, cost = three_figures(found)
    assert helps.answer == "+2.1 points (+1.1 to +3.1)"
    assert close.answer == "50% (25% to 75%)"
    assert (cost.answer, cost.meaning) == ("0.25 USD", "for 120 rows in 60 calls")
    unknown = of_all(findings, gain=None, gain_error=None, closed_share=None)
    assert [one.answer for one in three_figures(unknown)] == ["not known", "–", "0.25 USD"]
    imported = dataclasses.replace(found, generation=Generation(accepted=120))
    assert (three_figures(imported)[2].answer, three_figures(imported)[2].meaning) == (
        "nothing here",
        "for 120 rows, which were there already",
    )


def test_the_picture_comes_before_tables_and_terms_are_explained(rendered):
    page = rendered
    assert page.index('id="map"') < page.index("<table")
    linked = dict(re.findall(r'<a class="term" href="#([^"]*)" title="([^"]*)"', page))
    assert set(linked.values()) == {str(escape(meaning)) for meaning in TERMS.values()}
    for name, title in linked.items():
        assert f'<dd id="{name}-meaning">{title}</dd>' in page, "what is seen on hovering stands below for whoever has no pointer"


def test_the_guide_explains_every_term_in_the_same_words():
    guide = " ".join((Path(__file__).resolve().parents[2] / "docs" / "guide" / "report.md").read_text(encoding="utf-8").split())
    for word, meaning in TERMS.items():
        assert f"- **{word}**: {meaning}" in guide
