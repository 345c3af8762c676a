"""GuessWhat?!: a questioner finds out by yes-no questions which thing the oracle has in mind.

The questioner looks at the things that are still possible, never at the target: the questions say
nothing about it, and the answers only to someone who sees the picture.
"""

import numpy as np

from vlmt_cli.miniworld.language import SIDES
from vlmt_cli.miniworld.scene import HEIGHT, WIDTH, Scene, Thing, relations

NEAR_THE_MIDDLE = 6
"""Pixels from the middle line within which people would not agree about halves."""


def play(rng: np.random.Generator, scene: Scene, target: int) -> list[tuple[str, str]]:
    """Return the questions and answers ("Yes", "No", "N/A") that leave only ``scene.things[target]``."""
    goal = scene.things[target]
    possible = set(scene.things)
    asked: dict[str, str] = {}
    if rng.random() < 0.06:
        asked["Is it shiny?"] = "N/A"
    while len(possible) > 1:
        in_mind = [thing for thing in scene.things if thing in possible]
        questions = _questions(scene, in_mind[rng.integers(len(in_mind))])
        text, true_of = questions[rng.integers(len(questions))]
        if possible & true_of and possible - true_of:
            asked[text] = "Yes" if goal in true_of else "No"
            possible = possible & true_of if goal in true_of else possible - true_of
    return list(asked.items())


def _questions(scene: Scene, subject: Thing) -> list[tuple[str, set[Thing]]]:
    """Return what one may ask with this thing in mind, and the things of which it is true."""
    things = scene.things
    questions = [
        (f"Is it a {subject.shape}?", {t for t in things if t.shape == subject.shape}),
        (f"Is it {subject.colour}?", {t for t in things if t.colour == subject.colour}),
        (f"Is it {subject.size}?", {t for t in things if t.size == subject.size}),
        (f"Is it the {subject.name}?", {subject}),
    ]
    for other in things:
        if other is not subject:
            questions += [
                (f"Is it {SIDES[side]} the {other.name}?", {t for t in things if side in relations(t, other)})
                for side in relations(subject, other)
            ]
    if all(abs(t.x - WIDTH // 2) > NEAR_THE_MIDDLE for t in things):
        questions.append(("Is it in the left half?", {t for t in things if t.x < WIDTH // 2}))
    if all(abs(t.y - HEIGHT // 2) > NEAR_THE_MIDDLE for t in things):
        questions.append(("Is it in the top half?", {t for t in things if t.y < HEIGHT // 2}))
    return questions
