"""Matplotlib figures as inline SVG: the same bytes for the same data, colours from the page's style sheet."""

import html
import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

# Colours that no reader sees: in the SVG they become the page's, so that dark mode and print work.
INK, MUTED = "#010203", "#040506"
SERIES = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
    "#8c6d1f",
    "#777777",
)  # Okabe & Ito 2008, distinct to the colour-blind

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # real text: searchable, and read aloud
    "text.parse_math": False,  # labels come from data; a dollar sign is a dollar sign
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.use_mathtext": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def to_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The figure as an ``<svg>`` element for an HTML page.

    name: prefix of every id in it, so that figures of one page never share one; title and description
    are read by screen readers and are escaped here."""
    sink = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    body = sink.getvalue()
    body = body[body.index("<svg") :]
    body = re.sub(r"<!--.*?-->\s*|<style.*?</style>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r"<[^>]+>", lambda tag: _for_page(tag.group(), name), body)  # tags alone: texts come from data and stay
    opening, inside = body.split(">", 1)
    opening = re.sub(r'\s(?:width|height|version)="[^"]*"', "", opening)
    named = f'<title id="{name}-title">{html.escape(title)}</title><desc id="{name}-desc">{html.escape(description)}</desc>'
    return f'{opening} stroke-linejoin="round" role="img" aria-labelledby="{name}-title {name}-desc">{named}{inside}'


def _for_page(tag: str, name: str) -> str:
    """A tag with the figure's ids, the page's colours, and a third of the bytes."""
    tag = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", tag)
    if tag.startswith("<use "):
        tag = re.sub(r' style="([^"]*)"', _fill, tag)  # the shape that it shows carries the stroke, not the fill
    tag = re.sub(r' style="([^"]*)"', _attributes, tag)
    tag = re.sub(r"(\d+\.\d\d)\d+", r"\1", tag)  # a hundredth of a point cannot be seen
    tag = tag.replace(INK, "currentColor").replace(MUTED, "var(--line, #888888)")
    for place, colour in enumerate(SERIES):
        tag = tag.replace(colour, f"var(--series-{place}, {colour})")
    return tag


def _fill(style: re.Match[str]) -> str:
    """Of a style attribute the fill alone, where it has one."""
    found = re.search(r"fill: [^;]+", style.group(1))
    return f' style="{found.group()}"' if found else ""


def _attributes(style: re.Match[str]) -> str:
    """A style as attributes, which the page's policy lets pass; the family of a font is the page's."""
    pairs = (one.partition(":") for one in style.group(1).split(";") if one.strip())
    return "".join(f' {name.strip()}="{value.strip()}"' for name, _, value in pairs if name.strip() != "font-family")
