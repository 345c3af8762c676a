"""A page of contradictions side by side: one model is right about both texts of a pair, another about one of them.

One HTML file that needs nothing else, as the gallery of one model.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from vlmt_cli.analysis.consistency.concepts import Concept, Tagger
from vlmt_cli.analysis.consistency.gallery import STYLE, Box, marked, picture, turn
from vlmt_cli.analysis.consistency.pairs import ConceptPairs, Integers
from vlmt_cli.analysis.consistency.vgc import RIGHT, Outcome
from vlmt_cli.base.files import write_text
from vlmt_cli.base.page import html_page

_COLOURS = ("#e8710a", "#8a3ffc", "#d02670", "#0f8a8a", "#8d6e00", "#5b6b7d")
"""Of models, in order; they begin again after the last."""


@dataclass(frozen=True)
class Verdict:
    """What one model said of a pair: its answer and its box, the box's IoU, and which of the two is right."""

    answer: str
    box: Box
    iou: float
    answered: bool
    found: bool


@dataclass(frozen=True)
class ComparedPair:
    """A question and an expression that share concepts, and what each model said.

    Attributes:
        image: key; ``photo``: its file, None where there is none.
        question, answers: as it was asked, and what the dataset has as answers, frequent ones first.
        expression, right: as it was said, and the right box.
        shared: lemmas that both share.
        verdicts: by the name of the model.
    """

    image: str
    photo: Path | None
    question: str
    answers: Sequence[str]
    expression: str
    right: Box
    shared: Collection[str]
    verdicts: Mapping[str, Verdict]


def where_models_differ(
    pairs: ConceptPairs, outcomes: Sequence[Outcome], right: str, most: int = 60, an_image: int = 2
) -> Integers:
    """Find pairs of which one model has exactly one side right, and another both or neither.

    Args:
        pairs: from ``pairs.pair_up``.
        outcomes: of each model, for the same questions and expressions.
        right: when a question counts as answered, a key of ``vgc.RIGHT``.
        most, an_image: how many, of all images and of one.

    Returns:
        places among the pairs, those that share most concepts first; of these, where most models have both right.
    """
    sides = [
        (np.asarray(each.accuracy)[pairs.question_P] >= RIGHT[right], np.asarray(each.located)[pairs.expression_P])
        for each in outcomes
    ]
    contradicts = np.array([answered != found for answered, found in sides])
    both = np.array([answered & found for answered, found in sides]).sum(0)
    places = np.flatnonzero(contradicts.any(0) & ~contradicts.all(0) & (pairs.overlap_P > 0))
    places = places[np.lexsort((places, -both[places], -pairs.overlap_P[places]))]
    return places[turn(pairs.image_P[places]) < an_image][:most]


def write_beside(path: Path, cases: Sequence[ComparedPair], tagger: Tagger, models: Sequence[str]) -> None:
    """Write the page.

    Args:
        path: the HTML file to write.
        cases: in the order to show them.
        tagger: the one that found the concepts; it says which words to mark.
        models: their names, in order.

    Raises:
        VlmtError: the page cannot be written.
    """
    colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(models)}
    kinds = {name: f"model{number}" for number, name in enumerate(models)}
    legend = "".join(f'<span><i class="box {kinds[name]}"></i>{escape(name)}</span>' for name in models)
    found = iter(tagger([text for case in cases for text in (case.question, case.expression)]))
    cards = "".join(_card(case, next(found), next(found), kinds) for case in cases)
    style = "".join(f".{kinds[name]} {{ border-color: {colour}; border-style: dashed }}\n" for name, colour in
                    colours.items())  # fmt: skip
    body = (
        "<h1>Contradictions side by side</h1>\n"
        "<p>A question and a referring expression about the same picture, which name the same things. One model has one"
        " right and the other wrong; another has both right, or neither.</p>\n"
        f'<div class=legend><span><i class="box right"></i>the right region</span>{legend}'
        "<span><mark>words</mark> that both texts share</span></div>\n"
        f"<div class=cards>{cards or '<p>None.</p>'}</div>"
    )
    write_text(path, html_page("Contradictions side by side", body, STYLE + style + _TABLE))


def _card(
    case: ComparedPair, question: Sequence[Concept], expression: Sequence[Concept], kinds: Mapping[str, str]
) -> str:
    boxes = [("right", case.right), *((kinds[name], each.box) for name, each in case.verdicts.items())]
    lines = "".join(
        f'<tr><th><i class="box {kinds[name]}"></i>{escape(name)}</th>'
        f"<td>{_sign(each.answered)} {escape(each.answer)}</td><td>{_sign(each.found)} {each.iou:.2f}</td></tr>"
        for name, each in case.verdicts.items()
    )
    return (
        f"<article>{picture(case.image, case.photo, boxes)}<div class=texts>"
        f"<p class=asked><span class=what>question</span>{marked(case.question, question, case.shared)}</p>"
        f"<p class=asked><span class=what>expression</span>{marked(case.expression, expression, case.shared)}</p>"
        f"<table><tr><th></th><th>answer</th><th>IoU</th></tr>{lines}</table></div>"
        f"<footer><span>dataset: {escape(', '.join(case.answers))}</span><code>{escape(case.image)}</code></footer>"
        "</article>"
    )


def _sign(right: bool) -> str:
    return '<b class=yes title="right">&#10003;</b>' if right else '<b class=no title="wrong">&#10007;</b>'


_TABLE = """.legend { margin-bottom: 1rem }
.asked { color: var(--ink); margin: 0 0 .5rem; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100%; font-size: .88rem; margin: .4rem 0 .9rem }
th, td { text-align: left; padding: .2rem .5rem .2rem 0; font-weight: 400; overflow-wrap: anywhere }
th, td { vertical-align: top }
tr:first-child th { color: var(--soft) } th .box { position: static; display: inline-block; width: 1.2em; height: .8em;
  margin-right: .5em; box-shadow: none } b.yes { color: var(--yes) } b.no { color: var(--no) }
"""
