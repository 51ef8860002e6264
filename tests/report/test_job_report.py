"""The report job on a small lake, end to end."""

import logging
from html.parser import HTMLParser
from pathlib import Path

import pytest

from jobs import report
from jobs.context import Context
from synalign_spark.progress import Progress

VOID = {"meta", "br", "hr", "img", "link", "input", "path", "use", "rect"}


class Page(HTMLParser):
    """Tags, ids, addresses and unclosed elements of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.addresses, self.open, self.wrong = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attrs = dict(attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.addresses += [attrs[name] for name in ("href", "src", "xlink:href", "action") if name in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture(scope="module")
def done(spark, lake, cfg):
    """(summary, page) of one run of the job."""
    ctx = Context(cfg, spark, lake, Progress(live=False), logging.getLogger("test"))
    summary = report.run(ctx)
    return summary, Path(summary["report"]).read_text()


def test_page_is_well_formed_and_offline(done):
    page = Page(done[1])
    assert page.wrong == []
    assert page.open == []
    assert "script" not in page.tags
    assert len(page.ids) == len(set(page.ids)), "two elements share an id"
    assert all(address.startswith("#") for address in page.addresses)
    assert {address[1:] for address in page.addresses} <= set(page.ids)
