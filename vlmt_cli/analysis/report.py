"""One self-contained HTML page of what a folder's runs came to: leaks, scores, schedules, examples.

Sections are made from what is there; nothing is trained or measured here.
"""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vlmt_cli.base.files import write_text

STYLE = """
:root { --ink: #1d2433; --dim: #667085; --line: #e4e7ec; --accent: #5e3c99; }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.55 system-ui, "Segoe UI", sans-serif; color: var(--ink); background: #fff; }
header { padding: 3rem 2rem 1.5rem; border-bottom: 1px solid var(--line); }
header h1 { margin: 0 0 .4rem; font-size: 1.9rem; letter-spacing: -.02em; }
header p { margin: 0; color: var(--dim); max-width: 46rem; }
nav { padding: .8rem 2rem; border-bottom: 1px solid var(--line); position: sticky; top: 0; background: #fffd; }
nav a { color: var(--accent); text-decoration: none; margin-right: 1.2rem; white-space: nowrap; }
section { padding: 1.8rem 2rem; max-width: 78rem; }
section h2 { margin: 0 0 .3rem; font-size: 1.25rem; }
section p { margin: .2rem 0 1rem; color: var(--dim); max-width: 52rem; }
img { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--dim); font-weight: 500; font-size: .85rem; vertical-align: bottom; }
th, td { padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line); }
td + td, th + th { text-align: right; }
td.words, th.words { text-align: left; }
.bar { display: inline-block; position: relative; width: 11rem; height: .75rem; background: #f2f4f7; border-radius: 3px;
  vertical-align: middle; }
.bar i { position: absolute; left: 0; top: 0; bottom: 0; background: var(--accent); border-radius: 3px; }
.bar b { position: absolute; top: -2px; bottom: -2px; width: 2px; background: #e66101; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.2rem; }
.card { border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.card img, .card svg { display: block; width: 100%; }
.card div { padding: .6rem .8rem; font-size: .88rem; }
.card small { color: var(--dim); }
.right { color: #067647; } .wrong { color: #b42318; }
footer { padding: 1.5rem 2rem 3rem; color: var(--dim); font-size: .85rem; }
"""


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: of it.
        intro: a sentence or two of what is to be seen, as plain text.
        body: HTML that the functions below make.
    """

    title: str
    intro: str
    body: str


@dataclass(frozen=True)
class Score:
    """One task's score, to be drawn beside its chance.

    Attributes:
        task, metric: what it is.
        value, low, high: from 0 to 1.
        chance: what a guess scores.
        guess: which guess.
    """

    task: str
    metric: str
    value: float
    low: float
    high: float
    chance: float
    guess: str


def write_page(path: Path, title: str, intro: str, sections: Sequence[Section], foot: str = "") -> None:
    """Write the page."""
    places = [f"s{number}" for number in range(len(sections))]
    links = "".join(
        f'<a href="#{place}">{html.escape(section.title)}</a>' for place, section in zip(places, sections, strict=True)
    )
    parts = "".join(
        f'<section id="{place}"><h2>{html.escape(section.title)}</h2><p>{html.escape(section.intro)}</p>'
        f"{section.body}</section>"
        for place, section in zip(places, sections, strict=True)
    )
    write_text(
        path,
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<style>{STYLE}</style></head><body><header><h1>{html.escape(title)}</h1><p>{html.escape(intro)}</p></header>"
        f"<nav>{links}</nav>{parts}<footer>{html.escape(foot)}</footer></body></html>\n",
    )


def picture(path: Path, alt: str) -> str:
    """Embed a PNG."""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(alt, quote=True)}" src="data:image/png;base64,{data}">'


def score_table(scores: Sequence[Score]) -> str:
    """Lay out tasks' scores as bars, with a mark where a guess would be."""
    rows = "".join(
        f'<tr><td>{html.escape(one.task)}</td><td class="words">{html.escape(one.metric)}</td>'
        f"<td><b>{100 * one.value:.1f}</b></td><td>{100 * one.low:.1f} to {100 * one.high:.1f}</td>"
        f'<td>{100 * one.chance:.1f}</td><td class="words">{html.escape(one.guess)}</td>'
        f'<td><span class="bar"><i style="width:{100 * one.value:.1f}%"></i>'
        f'<b style="left:{100 * one.chance:.1f}%"></b></span></td></tr>'
        for one in scores
    )
    words = ("task", "metric", "which guess")
    names = ("task", "metric", "score", "95%", "chance", "which guess", "")
    head = "".join(f'<th class="words">{name}</th>' if name in words else f"<th>{name}</th>" for name in names)
    return f"<table><tr>{head}</tr>{rows}</table>"


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows of words and numbers."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def card(photos: Sequence[str], title: str, text: str, answer: str, right: bool | None, truth: str) -> str:
    """Show one example: its photos (data URIs or SVG), its text, and what the model said."""
    shown = "".join(photos)
    tone = {True: "right", False: "wrong", None: ""}[right]
    known = f" <small>(right: {html.escape(truth)})</small>" if truth else ""
    return (
        f'<div class="card">{shown}<div><small>{html.escape(title)}</small><br>{html.escape(text)}<br>'
        f'<b class="{tone}">{html.escape(answer)}</b>{known}</div></div>'
    )


def boxed_photo(data: bytes, size: tuple[int, int], boxes: Mapping[str, Sequence[float]]) -> str:
    """Draw boxes on a photo, as SVG.

    Args:
        data: the photo, PNG or JPEG.
        size: its width and height in pixels.
        boxes: colour to box, ``[x1, y1, x2, y2]`` in pixels.
    """
    kind = "png" if data[:4] == b"\x89PNG" else "jpeg"
    source = base64.b64encode(data).decode()
    stroke = max(size) / 120
    drawn = "".join(
        f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" fill="none"'
        f' stroke="{html.escape(colour, quote=True)}" stroke-width="{stroke:.1f}"/>'
        for colour, (x1, y1, x2, y2) in boxes.items()
    )
    return (
        f'<svg viewBox="0 0 {size[0]} {size[1]}" xmlns="http://www.w3.org/2000/svg">'
        f'<image href="data:image/{kind};base64,{source}" width="{size[0]}" height="{size[1]}"/>{drawn}</svg>'
    )
