"""A page of the worst contradictions: a right answer about a thing that is not located, or the reverse (section 8.8).

One HTML file that needs nothing else: pictures are inside it, nothing is loaded from anywhere, and its content security
policy forbids it to.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from vlmt_cli.analysis.consistency.concepts import Concept, Tagger
from vlmt_cli.analysis.consistency.pairs import ConceptPairs, Integers
from vlmt_cli.analysis.consistency.vgc import DEFAULT_RIGHT, RIGHT, Outcome
from vlmt_cli.base.files import write_text
from vlmt_cli.base.images import data_uri, read_image
from vlmt_cli.base.page import html_page

_PICTURE = 560  # pixels, the longer side
_FRAME = 4 / 3  # width by height of the field that a picture is shown in
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class ContradictoryPair:
    """A question and an expression that share concepts, of which the model has one right and one wrong.

    Attributes:
        image: key; ``photo``: its file, None where there is none.
        question: as it was asked; ``answer``: the model's; ``answers``: those of people, frequent ones first.
        accuracy: VQA accuracy of the answer.
        answered, found: which of the two counts as right.
        expression: as it was said; ``dataset``: where it is from.
        chosen, right: the model's box and the right one, [x1, y1, x2, y2] in pixels of the photo.
        iou: of the two boxes.
        shared: lemmas that the two texts share.
    """

    image: str
    photo: Path | None
    question: str
    answer: str
    answers: Sequence[str]
    accuracy: float
    answered: bool
    found: bool
    expression: str
    dataset: str
    chosen: Box
    right: Box
    iou: float
    shared: Collection[str]


def worst(
    pairs: ConceptPairs, outcome: Outcome, right: str = DEFAULT_RIGHT, most: int = 60, an_image: int = 2
) -> Integers:
    """Find the worst contradictions of a model.

    Args:
        pairs: from ``pairs.pair_up``.
        outcome: of the model, for the same questions and expressions.
        right: when a question counts as answered, a key of ``vgc.RIGHT``.
        most: how many; half of them where the question is right and half where the expression is, as far as there are.
        an_image: how many of one image at most, for either half.

    Returns:
        places among the pairs, those that share most concepts first; among these, where the wrong answer has no credit
        or the right one full credit.
    """
    accuracy = np.asarray(outcome.accuracy, np.float64)[pairs.question_P]
    answered, located = accuracy >= RIGHT[right], np.asarray(outcome.located)[pairs.expression_P]
    chosen = []
    for side in (answered & ~located, located & ~answered):
        places = np.flatnonzero(side & (pairs.overlap_P > 0))
        clear = np.abs(accuracy - located)[places]
        places = places[np.lexsort((places, -clear, -pairs.overlap_P[places]))]
        chosen.append(places[turn(pairs.image_P[places]) < an_image])
    room = [max(most // 2, most - len(other)) for other in reversed(chosen)]
    both = np.concatenate([places[:count] for places, count in zip(chosen, room, strict=True)])[:most]
    return both[np.argsort(-pairs.overlap_P[both], kind="stable")]


def turn(values: Integers) -> Integers:
    """Count for each value how often it stood before."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    turns = np.empty_like(values)
    turns[order] = np.arange(len(values)) - np.searchsorted(ranked, ranked)
    return turns


def shared_words(pairs: ConceptPairs, number: int) -> list[str]:
    """List the lemmas that the two texts of a pair share, in order of the alphabet."""
    return sorted(pairs.words[concept] for concept in pairs.concept_S[pairs.shared_S == number])


def write_gallery(path: Path, cases: Sequence[ContradictoryPair], tagger: Tagger, model: str, lead: str = "") -> None:
    """Write the page, first the questions answered without the thing being found, then the reverse.

    Args:
        path: the HTML file to write.
        cases: in the order to show them. Each takes about 30 kB.
        tagger: the one that found the concepts; it says which words to mark.
        model: its name, for the title.
        lead: a sentence above all, such as the score.

    Raises:
        VlmtError: the page cannot be written.
    """
    answered = [case for case in cases if case.answered]
    located = [case for case in cases if not case.answered]
    sections = _section(
        "Answered, but not found", "The answer is right; the region is the wrong one.", answered, tagger
    )
    sections += _section("Found, but not answered", "The region is right; the answer is wrong.", located, tagger)
    parts = {"model": escape(model), "lead": escape(lead), "sections": sections}
    body = re.sub(r"\{(model|lead|sections)\}", lambda match: parts[match[1]], _BODY)
    write_text(path, html_page(f"Contradictions of {model}", body, STYLE))


def _section(title: str, lead: str, cases: Sequence[ContradictoryPair], tagger: Tagger) -> str:
    texts = [text for case in cases for text in (case.question, case.expression)]
    html = [marked(text, words, case.shared) for text, words, case in
              zip(texts, tagger(texts), (case for case in cases for _ in range(2)), strict=True)]  # fmt: skip
    cards = "".join(_card(case, *html[2 * i : 2 * i + 2]) for i, case in enumerate(cases))
    return (
        f'<section><h2>{title} <span class="count">{len(cases):,}</span></h2>'
        f"<p>{lead if cases else 'None.'}</p><div class=cards>{cards}</div></section>"
    )


def marked(text: str, words: Sequence[Concept], shared: Collection[str]) -> str:
    """Return a text as HTML with its shared words marked."""
    html, done = [], 0
    for word in words:
        if word.lemma in shared:
            html += [escape(text[done : word.start]), f"<mark>{escape(text[word.start : word.end])}</mark>"]
            done = word.end
    return "".join([*html, escape(text[done:])])


def _card(case: ContradictoryPair, question: str, expression: str) -> str:
    shares = "".join(f"<li>{escape(word)}</li>" for word in case.shared)
    boxes = [("right", case.right), ("chosen", case.chosen)]
    return (
        f"<article>{picture(case.image, case.photo, boxes)}<div class=texts>"
        f"{_verdict(case.answered, 'question', question)}"
        f"{_facts(model=case.answer, people=', '.join(case.answers), accuracy=f'{100 * case.accuracy:.0f}%')}"
        f"{_verdict(case.found, 'expression', expression)}"
        f"{_facts(IoU=f'{case.iou:.2f}', dataset=case.dataset)}</div>"
        f"<footer><span>both say</span><ul>{shares}</ul><code>{escape(case.image)}</code></footer></article>"
    )


def _facts(**facts: str) -> str:
    known = [f"<div><dt>{name}</dt><dd>{escape(fact)}</dd></div>" for name, fact in facts.items() if fact]
    return f"<dl>{''.join(known)}</dl>"


def _verdict(right: bool, what: str, html: str) -> str:
    kind, sign = ("yes", "&#10003;") if right else ("no", "&#10007;")
    word = "right" if right else "wrong"
    return (
        f'<p class="said {kind}"><span class=sign title="{word}">{sign}</span><span class=what>{what}</span>{html}</p>'
    )


def picture(image: str, photo: Path | None, boxes: Sequence[tuple[str, Box]]) -> str:
    """Show a photo with boxes, each of a class of its own, or say why it cannot be shown."""
    shown = read_image(str(photo)) if photo else "there is no picture"
    if isinstance(shown, str):
        return f"<div class=frame>{escape(shown)}</div>"
    width, height = shown.size
    drawn = "".join(_box(kind, box, width, height) for kind, box in boxes)
    share = min(100 * width / height / _FRAME, 100)
    return (
        f'<div class=frame><div class=picture style="width: {share:.2f}%; aspect-ratio: {width} / {height}">'
        f'<img alt="{escape(image)}" src="{data_uri(shown, _PICTURE)}">{drawn}</div></div>'
    )


def _box(kind: str, box: Box, width: int, height: int) -> str:
    """Draw a box in shares of the picture, so that it stays in place at any size."""
    x1, x2 = (min(max(100 * x / width, 0), 100) for x in (box[0], box[2]))
    y1, y2 = (min(max(100 * y / height, 0), 100) for y in (box[1], box[3]))
    style = f"left: {x1:.2f}%; top: {y1:.2f}%; width: {x2 - x1:.2f}%; height: {y2 - y1:.2f}%"
    return f'<i class="box {kind}" style="{style}"></i>'


STYLE = """:root { --right: #1a7fd4; --chosen: #e8710a }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; font-size: .9rem; color: var(--soft) }
.legend .box { position: static; display: inline-block; width: 1.5em; height: .95em; margin-right: .5em;
  vertical-align: -.1em; box-shadow: none }
.cards { grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)) }
article { display: flex; flex-direction: column; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; overflow: hidden }
.frame { display: grid; place-items: center; aspect-ratio: 4 / 3; background: var(--well); color: var(--soft);
  overflow: hidden }
.picture { position: relative } .picture img { display: block; width: 100%; height: 100% }
.box { position: absolute; border: 3px solid; border-radius: 3px;
  box-shadow: 0 0 0 1.5px #fffc, inset 0 0 0 1.5px #fffc }
.right { border-color: var(--right) } .chosen { border-color: var(--chosen); border-style: dashed }
.texts { padding: .9rem 1rem .2rem; flex: 1 }
.said { position: relative; margin: 0 0 .2rem; padding-left: 1.9rem; color: var(--ink); font-size: 1.05rem;
  line-height: 1.35; overflow-wrap: anywhere }
.what { display: block; font-size: .72rem; letter-spacing: .06em; text-transform: uppercase; color: var(--soft) }
.sign { position: absolute; left: 0; top: .35rem; width: 1.35rem; height: 1.35rem; display: grid; place-items: center;
  border-radius: 50%; font-size: .8rem; font-weight: 700; color: var(--card) }
.yes .sign { background: var(--yes) } .no .sign { background: var(--no) }
mark { background: var(--mark); color: inherit; border-radius: 3px; padding: 0 .12em; margin: 0 -.12em }
dl { display: flex; flex-wrap: wrap; gap: 0 1.1rem; margin: 0 0 .9rem 1.9rem; font-size: .88rem }
dt, dd { display: inline; margin: 0; overflow-wrap: anywhere } dt { color: var(--soft); margin-right: .4em }
footer { display: flex; flex-wrap: wrap; gap: .3rem .5rem; align-items: center; margin: 0 1rem; padding: .6rem 0 .8rem;
  border-top: 1px solid var(--line); font-size: .85rem; color: var(--soft) }
ul { display: contents; list-style: none } li { background: var(--mark); color: var(--ink); border-radius: 1em;
  padding: 0 .6em }
code { margin-left: auto }
"""

_BODY = """<h1>Contradictions of {model}</h1>
<p>{lead}</p>
<p>A question and a referring expression about the same picture, which name the same things: the model has one right and
the other wrong, sorted by the number of words that they share.</p>
<div class=legend><span><i class="box right"></i>the right region</span>
<span><i class="box chosen"></i>the model's choice</span><span><mark>words</mark> that both texts share</span></div>
{sections}"""
