"""The page in a real browser: nothing cut, usable by keys and by screen readers, nothing runs that came from data."""

import dataclasses
import re

import numpy as np
import pytest

from synalign_spark.report.findings import MapPoints
from synalign_spark.report.page import render
from synalign_spark.report.terms import TERMS
from tests.report.attacks import ATTACKS, attacked
from tests.report.browser import Opened, cut_off, faults


@pytest.fixture(scope="module")
def written(rendered, tmp_path_factory):
    """Address of the page of the findings by hand."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(rendered, encoding="utf-8")
    return path


@pytest.fixture
def opened(browser, written):
    """Opens the page; closes it in the end."""
    pages = []

    def open_page(path=written, **options):
        pages.append(Opened(browser, path, **options))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        (390, "dark"),
        pytest.param(1280, "dark", marks=pytest.mark.slow),
        pytest.param(390, "light", marks=pytest.mark.slow),
    ],
)
def test_axe_finds_nothing_serious_and_nothing_is_cut(opened, width, scheme):
    page = opened(width=width, color_scheme=scheme).page
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.locator("#map-plane").press("Home")
    page.keyboard.press("Enter")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert cut_off(page) == []
    assert faults(page) == []


def test_axe_and_the_rulers_see_faults(opened):
    page = opened(width=390).page
    page.evaluate("document.querySelector('.headline').style.color = '#ddd'; document.querySelector('h1').style.width = '500px'")
    assert any(one.startswith("color-contrast") for one in faults(page))
    assert len(cut_off(page)) == 1


def test_nothing_is_asked_for_and_the_policy_names_one_style_and_one_script(opened, rendered):
    seen = opened()
    seen.page.locator("#map-plane").press("Home")
    assert seen.requests == [seen.address]
    assert seen.said == []
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', rendered).group(1)
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert re.findall(r"(\w+)-src", policy) == ["default", "style", "script"]


def test_the_policy_stops_what_is_not_in_it(opened, written, tmp_path):
    """Were a text not escaped, it could still neither run nor load nor change the looks."""
    path = tmp_path / "page.html"
    path.write_text(written.read_text().replace("<main>", f"<main>{' '.join(ATTACKS[:3])}<p id='seen' style='color: red'>seen</p>"))
    seen = opened(path)
    assert seen.page.evaluate("window.ran") is None
    assert seen.page.evaluate("getComputedStyle(document.getElementById('seen')).color") != "rgb(255, 0, 0)"
    assert any("Content Security Policy" in one for one in seen.said)


def test_hostile_texts_are_shown_and_do_not_run(opened, findings, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(render(attacked(findings)), encoding="utf-8")
    seen = opened(path)
    page = seen.page
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.locator("#map-plane").press("Home")
    page.keyboard.press("Enter")
    assert ATTACKS[0] in page.locator("#map-card").inner_text()
    page.locator("#map-words").fill("window.ran")
    page.locator("#map-list").select_option(index=0)
    for term in page.locator("a.term").all()[:3]:
        term.hover()
    assert page.evaluate("window.ran") is None
    assert seen.said == []
    assert seen.requests == [seen.address]
    own = "script, style, iframe, img, [onload], [onerror], [onfocus], [autofocus], a:not([href^='#'])"
    assert page.evaluate(f"[...document.querySelectorAll({own!r})].map(one => one.tagName)") == ["STYLE", "SCRIPT", "SCRIPT"]
    assert "\u202e" not in page.content()
    assert page.title().startswith("SynAlign report: <script>")


def test_a_row_is_read_by_pointing_and_a_click_shows_what_stands_behind_it(opened, findings):
    page = opened().page
    at = page.locator("#map-picture").bounding_box()
    outermost = findings.points.synthetic[:, 0].argmax()  # no row is near it on its right
    place = page.evaluate("JSON.parse(document.getElementById('map-data').textContent).synthetic")
    scale = at["width"] / 1000
    page.mouse.move(at["x"] + place["x"][outermost] * scale, at["y"] + place["y"][outermost] * scale)
    told = page.locator("#map-told")
    assert f"written text {outermost} <script>" in told.inner_text()
    assert "× uniform" in told.inner_text()
    page.mouse.down()
    page.mouse.up()
    card = page.locator("#map-card").inner_text()
    for part in (
        f"written text {outermost} ",
        "tone warm",
        "real text 1 <script>",
        "on the map",
        "shown elsewhere",
        f"row {place['id'][outermost]}",
    ):
        assert part in card
    assert ("nearly a copy" in card) == (outermost % 3 == 0)
    assert page.locator(".marks line").count() == 1, "to the one demonstration that is on the map"
    page.mouse.move(5, 5)
    assert not told.is_visible()


def test_all_that_works_by_pointer_works_by_keys(opened):
    page = opened().page
    reached = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(e => e.id || e.tagName + e.textContent)(document.activeElement)"))
    expected = page.evaluate(
        "[...document.querySelectorAll('a, summary, input, select, [tabindex]')].filter(e => e.checkVisibility()).map(e => e.id || e.tagName + e.textContent)"
    )
    assert set(expected) <= reached
    page.locator("#map-plane").press("Home")
    first = page.locator("#map-told").inner_text()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#map-told").inner_text() != first
    assert page.locator("#map-told").get_attribute("aria-live") == "polite"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("#map-card .quote").count() == 1
    page.keyboard.press("Escape")
    assert not page.locator("#map-told").is_visible()


def test_rows_are_found_in_the_list_and_boxes_hide_layers(opened):
    page = opened().page
    page.locator("summary", has_text="as a list").click()
    page.locator("#map-words").fill("written text 77 ")
    assert page.locator("#map-list option").count() == 1
    page.locator("#map-list").focus()
    page.keyboard.press("ArrowDown")
    assert "written text 77 " in page.locator("#map-card").inner_text()
    for name in ("synthetic", "weighted"):
        page.locator(f"#show-{name}").uncheck()
    assert page.locator("#map-list option").count() == 0
    assert page.locator(".of-weighted path").first.is_hidden()
    assert page.locator(".of-real path").first.is_visible()
    page.locator("#show-label-0").uncheck()
    assert page.locator(".of-real path.label-0").first.is_hidden()


def test_every_term_is_explained_on_hovering_and_on_focus(opened, findings):
    page = opened(width=390).page
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    shown = set()
    for term in page.locator("a.term").all():
        term.focus()
        shown.add(page.locator("#tip").inner_text())
        box = page.locator("#tip").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    assert {*TERMS.values()} == shown
    page.keyboard.press("Escape")
    assert not page.locator("#tip").is_visible()
    page.locator("a.term").first.hover()
    assert page.locator("#tip").is_visible()


def test_without_script_there_is_the_picture_and_the_boxes_work(opened):
    page = opened(java_script_enabled=False).page
    assert page.locator("#map-picture").is_visible()
    assert page.locator("noscript p").is_visible()
    assert not page.locator("#map-card").is_visible()
    page.locator("#show-real").uncheck()
    assert page.locator(".of-real path").first.is_hidden()
    assert page.locator("a.term").first.get_attribute("title") in TERMS.values()


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_the_picture_has_the_colours_of_its_key(opened, scheme):
    """By the pixels of a screenshot: a row apart from all others, of each kind."""
    page = opened(color_scheme=scheme).page
    page.evaluate("document.querySelector('#map-picture').style.background = 'transparent'")
    for name, layer in (("real", ".of-real"), ("weighted", ".of-weighted")):
        colour = page.evaluate(f"getComputedStyle(document.querySelector('{layer} path')).stroke")
        wanted = np.array([int(part) for part in re.findall(r"\d+", colour)[:3]])
        page.evaluate(f"document.querySelectorAll('#map-picture path').forEach(one => one.style.opacity = one.closest('{layer}') ? 1 : 0)")
        seen = pixels(page.locator("#map-picture").screenshot())
        near = (np.abs(seen[..., :3].astype(int) - wanted) <= 2).all(axis=-1)
        assert 0.002 < near.mean() < 0.5, f"{name} rows cover {near.mean():.4f} of the picture in {colour}"


def pixels(png: bytes) -> np.ndarray:
    import io

    from matplotlib.image import imread

    return (imread(io.BytesIO(png), format="png") * 255).round()


def test_print_shows_what_is_folded_and_no_part_of_the_script(opened):
    page = opened().page
    page.emulate_media(media="print")
    assert page.locator("section#configuration pre").is_visible()
    assert not page.locator("nav").is_visible()
    assert not page.locator("#map-card").is_visible()
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 less its margins
    tables = page.evaluate("[...document.querySelectorAll('table')].map(one => one.getBoundingClientRect().right)")
    assert max(tables) <= 718
    assert page.pdf(format="A4")[:4] == b"%PDF"


@pytest.mark.slow
def test_twenty_thousand_rows_a_side_stay_quick_and_small(opened, findings, tmp_path):
    rng, n = np.random.default_rng(0), 20_000
    labels = [f"label {i % 3}" for i in range(n)]
    side = [{"doc_id": f"{i:064x}", "text": f"{i} " + "some words of a row " * 20} for i in range(2 * n)]
    sets = {
        f"s{i}": {"attributes": {"topic": "a topic of some words", "tone": "warm"}, "demo_ids": [f"{5 * i + j:064x}" for j in range(5)]}
        for i in range(2_500)
    }
    points = MapPoints(
        rng.normal(size=(n, 2)), labels, rng.normal(size=(n, 2)) + 1, labels, rng.lognormal(size=n), np.array([0.3, 0.2]), side[:n],
        [{**row, "attribute_set_id": f"s{i % 2_500}", "capped_by": None} for i, row in enumerate(side[n:])], sets,
    )  # fmt: skip
    page = render(dataclasses.replace(findings, points=points))
    assert len(page.encode()) < 10_000_000
    assert page.count("<path") < 6_000
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    seen = opened(path).page
    took = seen.evaluate(
        """() => { const plane = document.getElementById('map-plane'), box = plane.getBoundingClientRect(), from = performance.now();
        for (let i = 0; i < 100; i++) plane.dispatchEvent(new PointerEvent('pointermove', {clientX: box.left + 5 * i, clientY: box.top + 200}));
        return (performance.now() - from) / 100; }"""
    )
    assert took < 50, "milliseconds a movement of the pointer, on a slow machine"
