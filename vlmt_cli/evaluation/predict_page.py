"""A page that shows photos with a model's answers (as figures 3, 8 and 9 do).

One HTML file that needs nothing else: each picture is inside it once, nothing is loaded from anywhere, and its
content security policy forbids it to. Texts, answers and names of files are data, never markup.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from vlmt_cli.base.files import write_text
from vlmt_cli.base.images import data_uri
from vlmt_cli.base.page import escape_html, html_page
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.evaluation.predict_picture import Mark, View, colour_of, label_corners, marks
from vlmt_cli.evaluation.predictions import Answers, Box, Boxes, Photos, Prediction, Texts, photos_of
from vlmt_cli.tasks.groups import rules_of

_LONGEST = 1000  # pixels of a picture's longer side

_OWN = "Each answer has a probability of its own; together they need not make 100%."
_MEANING = {
    "ranking": "A percentage is the share among what is ranked here; the number beside it is the model's own score.",
    "boxes": "A percentage is the share among all regions that could be chosen.",
}


class _Shown(NamedTuple):
    symbol: str
    view: View


def write_prediction_page(
    path: Path, task: str, predictions: Sequence[Prediction], views: Mapping[str, View], facts: Sequence[str] = ()
) -> None:
    """Write the page; the arguments are ``page``'s. Raises a VlmtError when it cannot be written."""
    write_text(path, page(task, predictions, views, facts))


def page(task: str, predictions: Sequence[Prediction], views: Mapping[str, View], facts: Sequence[str] = ()) -> str:
    """Make the page.

    Args:
        task: which.
        predictions: of one call of ``predict``.
        views: every photo by its name.
        facts: what else to say at the top, a few words each: the model, its extractor.
    """
    names = list(dict.fromkeys(name for prediction in predictions for name in photos_of(prediction)))
    shown = {name: _Shown(f"photo-{number}", views[name]) for number, name in enumerate(names)}
    cards = [_card(list(together), shown) for _, together in groupby(predictions, _shown_together)]
    # In one pass, so that what is put in is never searched for places to fill.
    body = _BODY.format(
        title=escape_html(TASKS[task].title),
        facts="".join(f"<li>{escape_html(fact)}</li>" for fact in facts),
        meaning=_meaning(task),
        photos="".join(_symbol(photo) for photo in shown.values()),
        cards="".join(cards),
    )
    return html_page(TASKS[task].title, body, _STYLE)


def _meaning(task: str) -> str:
    """Say what a percentage of a task's predictions means."""
    return _OWN if TASKS[task].vocabulary else _MEANING.get(rules_of(task).PREDICTS, "")


def _shown_together(prediction: Prediction) -> tuple[object, ...]:
    """Say what shares a card: what is said of the same photos. A ranking of photos has one of its own."""
    return (id(prediction),) if isinstance(prediction, Photos) else (type(prediction), *photos_of(prediction))


def _card(together: Sequence[Prediction], shown: Mapping[str, _Shown]) -> str:
    first = together[0]
    if isinstance(first, Photos):
        return _gallery(first, shown)
    names, boxes = photos_of(first), [prediction for prediction in together if isinstance(prediction, Boxes)]
    sides = ["left: ", "right: "] if len(names) == 2 else [""]
    figures = "".join(_figure(name, shown[name], side, marks(boxes)) for name, side in zip(names, sides, strict=True))
    said = "".join(
        _said(prediction, number if len(together) > 1 else None) for number, prediction in enumerate(together, 1)
    )
    return f'<article class="beside"><div class="photos n{len(names)}">{figures}</div><div>{said}</div></article>'


def _gallery(ranking: Photos, shown: Mapping[str, _Shown]) -> str:
    rows = "".join(
        f"<li>{_figure(photo.photo, shown[photo.photo])}{_bar(f'{rank}', photo.probability, photo.score)}</li>"
        for rank, photo in enumerate(ranking.photos, 1)
    )
    return f'<article><h2>{escape_html(ranking.text)}</h2><ol class="gallery">{rows}</ol></article>'


def _said(prediction: Prediction, number: int | None) -> str:
    """Write what is said of a card's photos; ``number`` counts its texts where there are several."""
    match prediction:
        case Answers():
            heading, bars = (
                escape_html(prediction.text),
                [_bar(escape_html(each.answer), each.probability) for each in prediction.answers],
            )
        case Boxes():
            heading = (
                escape_html(prediction.text)
                if number is None
                else f"{_chip(number, colour_of(number))}{escape_html(prediction.text)}"
            )
            bars = [
                _bar((_chip(n, mark.colour) if number is None else "") + _corners(each), each.probability)
                for n, (each, mark) in enumerate(zip(prediction.boxes, marks([prediction]), strict=True), 1)
            ]
        case Texts():
            heading, bars = (
                "",
                [_bar(escape_html(each.text), each.probability, each.score) for each in prediction.texts],
            )
        case Photos():
            raise AssertionError("a ranking of photos has a card of its own")
    title = f"<h2>{heading}</h2>" if heading else ""
    return f"<section>{title}<ol>{''.join(f'<li>{bar}</li>' for bar in bars)}</ol></section>"


def _bar(name: str, share: float, score: float | None = None) -> str:
    own = "" if score is None else f"<small>{score:z.2f}</small>"
    width = f"{100 * share:.1f}%"
    return (
        f'<span class="name">{name}</span><span class="share">{own}{_percent(share)}</span>'
        f'<span class="bar"><i style="width:{width}"></i></span>'
    )


def _percent(share: float) -> str:
    return "&lt;0.1%" if 0 < share < 0.0005 else f"{100 * share:.1f}%"


def _chip(number: int, colour: str) -> str:
    return f'<b class="chip" style="background:{colour}">{number}</b>'


def _corners(box: Box) -> str:
    return f"<code>{', '.join(f'{side:.0f}' for side in box.box)}</code>"


def _symbol(photo: _Shown) -> str:
    """Define a photo, so that it can be shown any number of times."""
    width, height = photo.view.width, photo.view.height
    if photo.view.picture is None:
        drawn = '<rect width="100%" height="100%" fill="#8883"/>'
    else:
        source = data_uri(photo.view.picture, _LONGEST)
        drawn = f'<image width="{width}" height="{height}" preserveAspectRatio="none" href="{source}"/>'
    return f'<symbol id="{photo.symbol}" viewBox="0 0 {width} {height}">{drawn}</symbol>'


def _figure(name: str, photo: _Shown, side: str = "", boxes: Sequence[Mark] = ()) -> str:
    """Show a photo, with boxes on it and its name below."""
    width, height = photo.view.width, photo.view.height
    drawn = "".join(_rectangle(mark) for mark in reversed(boxes)) + _numbers(boxes, width, height)
    missing = "" if photo.view.picture else " (the photo itself is not at hand)"
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape_html(name)}">'
        f'<use href="#{photo.symbol}" width="{width}" height="{height}"/>{drawn}</svg>'
        f"<figcaption>{side}{escape_html(name)}{missing}</figcaption></figure>"
    )


def _rectangle(mark: Mark) -> str:
    x1, y1, x2, y2 = mark.box
    shape = f'x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}"'
    kind = "best" if mark.best else "other"
    return f'<g class="{kind}"><rect class="edge" {shape}/><rect class="box" {shape} stroke="{mark.colour}"/></g>'


def _numbers(boxes: Sequence[Mark], width: int, height: int) -> str:
    """Draw the boxes' numbers, last of all, so that no box crosses them."""
    high = max(width, height) / 24
    sizes = [(high * (0.5 + 0.6 * len(str(mark.number))), high) for mark in boxes]
    corners = label_corners(boxes, sizes, width, height)
    return "".join(
        f'<g><rect x="{left:.1f}" y="{upper:.1f}" width="{wide:.1f}" height="{high:.1f}" fill="{mark.colour}"/>'
        f'<text x="{left + wide / 2:.1f}" y="{upper + high * 0.78:.1f}" font-size="{high * 0.8:.1f}">'
        f"{mark.number}</text></g>"
        for mark, (wide, _), (left, upper) in zip(boxes, sizes, corners, strict=True)
    )


_STYLE = """body { max-width: 1100px }
header { margin-bottom: 1.5rem }
h2 { font-size: 1.1rem; line-height: 1.35; margin: 0 0 .7rem; overflow-wrap: anywhere }
header ul { display: flex; flex-wrap: wrap; gap: .4rem; margin: 0; padding: 0; list-style: none }
header li { background: var(--well); border-radius: 1em; padding: .1em .8em; font-size: .85rem;
  overflow-wrap: anywhere }
header p { color: var(--soft); margin: .7rem 0 0 }
article { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.2rem;
  margin-bottom: 1.2rem }
.beside { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 1.5rem; align-items: start }
.photos { display: grid; gap: .8rem; position: sticky; top: 1rem } .photos.n2 { grid-template-columns: 1fr 1fr }
.beside:has(.n2) { grid-template-columns: minmax(0, 3fr) minmax(0, 2fr) }
@media (max-width: 700px) { .beside, .beside:has(.n2) { grid-template-columns: minmax(0, 1fr) }
  .photos { position: static } }
section + section { margin-top: 1.2rem; padding-top: 1.2rem; border-top: 1px solid var(--line) }
ol { list-style: none; margin: 0; padding: 0 }
ol:not(.gallery) > li, .gallery > li { display: grid; grid-template-columns: 1fr auto; gap: .1rem 1rem }
ol:not(.gallery) > li + li { margin-top: .55rem }
.gallery { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 165px), 1fr)) }
.gallery > li { align-content: start } .gallery figure { grid-column: 1 / -1; margin-bottom: .3rem }
.name { overflow-wrap: anywhere } .share { font-variant-numeric: tabular-nums; color: var(--soft) }
.share small { margin-right: .8em; opacity: .8 }
.bar { grid-column: 1 / -1; height: 7px; border-radius: 4px; background: var(--well); overflow: hidden }
.bar i { display: block; height: 100%; min-width: 2px; border-radius: 4px; background: var(--pale) }
li:first-child > .bar i { background: var(--accent) }
li:first-child > .name { font-weight: 600 } li:first-child > .share { color: var(--ink) }
.chip { display: inline-block; min-width: 1.5em; padding: 0 .35em; margin-right: .5em; border-radius: 5px;
  color: #fff; font-size: .85em; text-align: center }
figure { margin: 0; min-width: 0 }
figure svg { display: block; width: 100%; border-radius: 6px; background: var(--well) }
figcaption { margin-top: .3rem; font-size: .8rem; color: var(--soft); overflow-wrap: anywhere }
.edge, .box { fill: none; vector-effect: non-scaling-stroke }
.best .edge { stroke: #fff; stroke-width: 6 } .best .box { stroke-width: 3 }
.other .edge { stroke: #fff; stroke-width: 3 } .other .box { stroke-width: 1.5 }
g text { fill: #fff; text-anchor: middle; font-family: system-ui, sans-serif; font-weight: 600 }
"""

_BODY = """<svg width="0" height="0" style="position:absolute" aria-hidden="true">{photos}</svg>
<header><h1>{title}</h1><ul>{facts}</ul><p>{meaning}</p></header>
{cards}"""
