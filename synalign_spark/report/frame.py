"""What all pages have in common: templates, one style sheet, one script, and the policy that lets nothing else run.

A page is one file and no address outside itself. Every text from data is escaped by the templates; should one ever slip
through, the browser runs no script and takes no style but those whose hash the policy names.
"""

import base64
import functools
import hashlib
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from synalign_spark import __version__
from synalign_spark.formatting import cut, duration, number, points, share, share_interval, undriven
from synalign_spark.report.terms import TERMS, term_id
from synalign_spark.report.verdict import interval, signs


def render_page(template: str, **values: Any) -> str:
    """A page from a template. The same values give the same bytes."""
    css, js = _source("page.css"), _source("page.js")
    policy = f"default-src 'none'; style-src {_hash(css)}; script-src {_hash(js)}; base-uri 'none'; form-action 'none'"
    found = environment().get_template(template)
    return found.render(css=Markup(css), js=Markup(js), policy=Markup(policy), terms=TERMS, version=__version__, **values)


@functools.lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates of this package; what they print is escaped."""
    made = Environment(
        loader=PackageLoader("synalign_spark", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        finalize=lambda value: undriven(value) if isinstance(value, str) else value,  # direction marks would turn the page around them
    )  # fmt: skip
    made.globals |= {"share_interval": share_interval, "interval": interval, "term_id": term_id}
    made.filters |= {"number": number, "share": share, "duration": duration, "cut": cut, "points": points, "signs": signs}
    return made


@functools.lru_cache(maxsize=2)
def _source(name: str) -> str:
    """A file of this package as it stands in the page."""
    made = environment()
    assert made.loader is not None
    return made.loader.get_source(made, name)[0].replace("\r\n", "\n")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
