"""One self-contained HTML page of a folder's results: leaks, scores, schedules, examples.

Sections are made from existing results; nothing is trained or measured here.
"""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vlmt_cli.base.files import write_text
from vlmt_cli.base.page import html_page

_STYLE = """body { max-width: 82rem }
header p { max-width: 46rem }
nav { padding: .6rem 0; border-bottom: 1px solid var(--line); position: sticky; top: 0; background: var(--page);
  display: flex; gap: 1.2rem; overflow-x: auto; z-index: 1 }
nav a { color: var(--accent); text-decoration: none; white-space: nowrap }
.picture, .scroll { overflow-x: auto; max-width: 100% }
.picture img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 6px;
  margin-bottom: .8rem }
.scroll td:first-child, .scroll th:first-child { position: sticky; left: 0; background: var(--page) }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: .85rem; vertical-align: bottom }
th, td { padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line); white-space: nowrap }
td + td, th + th { text-align: right }
td.words, th.words { text-align: left; white-space: normal }
.chip { display: inline-block; background: var(--well); border-radius: 1em; padding: 0 .7em; margin: .15em .3em .15em 0;
  white-space: nowrap }
.bar { display: inline-block; position: relative; width: 11rem; max-width: 100%; height: .75rem;
  background: var(--well); border-radius: 3px; vertical-align: middle }
.bar i { position: absolute; left: 0; top: 0; bottom: 0; background: var(--accent); border-radius: 3px }
.bar .hatched { background: repeating-linear-gradient(135deg, var(--accent) 0 3px, var(--pale) 3px 6px) }
.bar b { position: absolute; top: -2px; bottom: -2px; width: 2px; background: #e66101 }
.cards { grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)) }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; overflow: hidden }
.card img, .card svg { display: block; width: 100% }
.card div { padding: .6rem .8rem; font-size: .88rem; overflow-wrap: anywhere }
.card small { color: var(--soft) }
.right { color: var(--yes) } .wrong { color: var(--no) }
footer { padding: 1.5rem 0; color: var(--soft); font-size: .85rem; overflow-wrap: anywhere }
.lacks { padding-left: 1.1rem; overflow-wrap: anywhere }
.narrow { display: none }
@media (max-width: 700px) {
  .wide { display: none } .narrow { display: table }
  .picture img { max-width: none; width: 760px }
  .scroll td:first-child, .scroll th:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 6.5rem }
  .scroll td, .scroll th { padding-right: .7rem; font-size: .9rem }
  .scores tr:first-child { display: none }
  .scores, .scores tbody { display: block }
  .scores tr { display: grid; grid-template-columns: 1fr auto; gap: 0 1rem; padding: .6rem 0;
    border-bottom: 1px solid var(--line) }
  .scores td { border: 0; padding: 0; text-align: left }
  .scores td:nth-child(2), .scores td:nth-child(6) { color: var(--soft); font-size: .85rem }
  .scores td:nth-child(1), .scores td:nth-child(3) { order: 0; font-size: 1.05rem }
  .scores td:nth-child(2), .scores td:nth-child(4) { order: 1 }
  .scores td:nth-child(7) { order: 2; grid-column: 1 / -1 }
  .scores td:nth-child(6), .scores td:nth-child(5) { order: 3 }
  .scores td:nth-child(3), .scores td:nth-child(4), .scores td:nth-child(5) { text-align: right }
  .scores td:nth-child(5)::before { content: "baseline " }
  .scores .bar { display: block; width: 100%; margin: .25rem 0 }
}
"""
_HATCHED = ' class="hatched"'


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
    """One task's score, to be drawn beside its baseline.

    Attributes:
        task, metric: what it is.
        value, low, high: from 0 to 1.
        chance: the baseline's score; None where it is not known.
        guess: which baseline.
        mark: what stands behind the score (``evaluation.marks.mark_of``).
    """

    task: str
    metric: str
    value: float
    low: float
    high: float
    chance: float | None
    guess: str
    mark: str = ""


def write_page(path: Path, title: str, intro: str, sections: Sequence[Section], foot: str = "") -> None:
    """Write the page."""
    places = [f"s{number}" for number in range(len(sections))]
    links = "".join(
        f'<a href="#{anchor}">{html.escape(section.title)}</a>'
        for anchor, section in zip(places, sections, strict=True)
    )
    parts = "".join(
        f'<section id="{anchor}"><h2>{html.escape(section.title)}</h2><p>{html.escape(section.intro)}</p>'
        f"{section.body}</section>"
        for anchor, section in zip(places, sections, strict=True)
    )
    body = (
        f"<header><h1>{html.escape(title)}</h1><p>{html.escape(intro)}</p></header>"
        f"<nav>{links}</nav>{parts}<footer>{html.escape(foot)}</footer>"
    )
    write_text(path, html_page(title, body, _STYLE))


def picture(path: Path, alt: str) -> str:
    """Embed a PNG."""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<div class="picture"><img alt="{html.escape(alt, quote=True)}" src="data:image/png;base64,{data}"></div>'


def score_table(scores: Sequence[Score]) -> str:
    """Lay out tasks' scores as bars, with a line at the baseline; bars of marked scores are hatched."""
    rows = "".join(
        f'<tr><td>{html.escape(score.task)}</td><td class="words">{html.escape(score.metric)}</td>'
        f"<td><b>{100 * score.value:.1f}{score.mark}</b></td><td>{100 * score.low:.1f} to {100 * score.high:.1f}</td>"
        f'<td>{_share(score.chance)}</td><td class="words">{html.escape(score.guess)}</td>'
        f'<td><span class="bar"><i{_HATCHED * bool(score.mark)} style="width:{100 * score.value:.1f}%"></i>'
        f"{_line(score.chance)}</span></td></tr>"
        for score in scores
    )
    words = ("task", "metric", "which baseline")
    names = ("task", "metric", "score", "95%", "baseline", "which baseline", "")
    head = "".join(f'<th class="words">{name}</th>' if name in words else f"<th>{name}</th>" for name in names)
    return f'<table class="scores"><tr>{head}</tr>{rows}</table>'


def _share(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _line(share: float | None) -> str:
    return "" if share is None else f'<b style="left:{100 * share:.1f}%"></b>'


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows of words and numbers."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def missing_list(lines: Sequence[tuple[str, str]]) -> str:
    """List what a page lacks, each with the command that makes it, if any does."""
    items = "".join(
        f"<li>{html.escape(what)}{f': <code>{html.escape(command)}</code>' if command else ''}</li>"
        for what, command in lines
    )
    return f'<ul class="lacks">{items}</ul>'


def overlap_list(rows: Mapping[str, Mapping[str, str]]) -> str:
    """List, for narrow screens, each test set with the training sets that show its images, and how many in percent."""
    body = "".join(
        f'<tr><td>{html.escape(test)}</td><td class="words">'
        + "".join(f'<span class="chip">{html.escape(name)} {html.escape(share)}</span>' for name, share in hit.items())
        + ("" if hit else "none")
        + "</td></tr>"
        for test, hit in rows.items()
    )
    head = '<tr><th>test images of</th><th class="words">in train and val of, %</th></tr>'
    return f'<table class="narrow">{head}{body}</table>'


def card(photos: Sequence[str], title: str, text: str, answer: str, right: bool | None, truth: str) -> str:
    """Show one example: its photos (data URIs or SVG), its text, and what the model said."""
    shown = "".join(photos)
    tone = {True: "right", False: "wrong", None: ""}[right]
    known = f" <small>(right: {html.escape(truth)})</small>" if truth else ""
    return (
        f'<div class="card">{shown}<div><small>{html.escape(title)}</small><br>{html.escape(text)}<br>'
        f'<b class="{tone}">{html.escape(answer)}</b>{known}</div></div>'
    )


def boxed_photo(source: str, size: tuple[int, int], boxes: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Draw boxes on a photo, as SVG.

    Args:
        source: the photo as a data URI; empty for plain grey.
        size: the width and height that boxes are given in, in pixels.
        boxes: colour to boxes, ``[x1, y1, x2, y2]``; later colours stand above earlier ones.
    """
    stroke = max(size) / 120
    drawn = "".join(
        f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" fill="none"'
        f' stroke="{html.escape(colour, quote=True)}" stroke-width="{stroke:.1f}"/>'
        for colour, same in boxes.items()
        for x1, y1, x2, y2 in same
    )
    shown = f'width="{size[0]}" height="{size[1]}"'
    ground = f'<image href="{html.escape(source, quote=True)}" {shown}/>' if source else f'<rect {shown} fill="#8883"/>'
    return f'<svg viewBox="0 0 {size[0]} {size[1]}" xmlns="http://www.w3.org/2000/svg">{ground}{drawn}</svg>'
