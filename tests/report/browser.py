"""A real browser for the tests of pages: Chromium of the system, driven by playwright; nothing is downloaded for it."""

import contextlib
import shutil
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextlib.contextmanager
def started():
    """A running browser; skips where there is none, or no playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser on this machine: one of {', '.join(NAMES)}")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


class Opened:
    """A page in the browser, with what it asked for, said and did."""

    def __init__(self, browser, path: Path, width: int = 1280, **options) -> None:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        self.page = context.new_page()
        self.requests, self.said = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.address = path.as_uri()
        self.page.goto(self.address)

    def close(self) -> None:
        self.page.context.close()


def faults(page) -> list[str]:
    """What axe-core calls serious or critical, by rule, with the first element of each."""
    folder = Path(pytest.importorskip("axe_playwright_python", reason="the package axe-playwright-python is not installed").__file__).parent
    page.evaluate((folder / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then(result => result.violations)")
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in ("serious", "critical")]


def cut_off(page) -> list[str]:
    """What stands out of the page sideways, but for what lies in a box that scrolls by itself; and texts that a box cuts."""
    return page.evaluate(
        """() => [...document.querySelectorAll('body *')].filter(e => {
            const box = e.getBoundingClientRect();
            if (!box.width || !box.height || e.closest('.scroll, noscript, pre, svg')) return false;
            const style = getComputedStyle(e);
            const clipped = style.overflowX !== 'visible' && e.scrollWidth > e.clientWidth + 1 && !['SELECT', 'OPTION', 'INPUT'].includes(e.tagName);
            return box.right > innerWidth + 1 || box.left < -1 || clipped;
        }).map(e => e.outerHTML.slice(0, 150))"""
    )
