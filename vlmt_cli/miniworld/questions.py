"""What can be asked about a scene, for VQA, Visual Genome QA and GQA."""

from vlmt_cli.miniworld.balance import Fact, Kind
from vlmt_cli.miniworld.language import SIDES, a, kinds_of_things, matching, only_one, plural
from vlmt_cli.miniworld.scene import COLOURS, SHAPES, SIZES, Scene, relations

YES_NO = ("yes", "no")

KINDS = {
    "exist": Kind(YES_NO, ("Is there {0}?", "Can you see {0}?", "Does the picture show {0}?")),
    "is colour": Kind(YES_NO, ("Is the {0} {1}?", "Is the color of the {0} {1}?")),
    "relation": Kind(YES_NO, ("Is the {0} {2} the {1}?", "Can the {0} be seen {2} the {1}?")),
    "more": Kind(YES_NO, ("Are there more {0} than {1}?",)),
    "same colour": Kind(
        YES_NO, ("Do the {0} and the {1} have the same color?", "Is the {0} the same color as the {1}?")
    ),
    "count": Kind(
        ("0", "1", "2", "3"),
        ("How many {0} are there?", "How many {0} can you see?", "What is the number of {0}?"),
    ),
    "count all": Kind(
        ("2", "3", "4", "5"),
        (
            "How many shapes are there?",
            "How many things are in the picture?",
            "How many shapes can you see?",
            "What is the number of shapes?",
            "What number of things is shown?",
            "How many shapes does the picture show?",
        ),
    ),
    "colour": Kind(
        tuple(COLOURS), ("What color is the {0}?", "What is the color of the {0}?", "Which color is the {0}?")
    ),
    "shape": Kind(SHAPES, ("What shape is the {0}?", "What is the {0}?", "Which shape is the {0}?")),
    "size": Kind(SIZES, ("What size is the {0}?", "How big is the {0}?", "Is the {0} small or large?")),
    "left or right": Kind(
        ("left", "right"),
        ("Is the {0} to the left or to the right of the {1}?", "On which side of the {1} is the {0}?"),
    ),
    "above or below": Kind(
        ("above", "below"), ("Is the {0} above or below the {1}?", "Is the {0} below or above the {1}?")
    ),
}
"""Every kind of question, with the answers that are plausible: chance is one over their number."""

VQA = {
    "exist": 0.14,
    "is colour": 0.08,
    "relation": 0.08,
    "more": 0.05,
    "count": 0.14,
    "count all": 0.06,
    "colour": 0.18,
    "shape": 0.13,
    "size": 0.05,
    "left or right": 0.05,
    "above or below": 0.04,
}
VG_QA = {
    "count": 0.15,
    "count all": 0.05,
    "colour": 0.33,
    "shape": 0.26,
    "size": 0.09,
    "left or right": 0.06,
    "above or below": 0.06,
}
GQA = {
    "exist": 0.16,
    "is colour": 0.1,
    "relation": 0.14,
    "same colour": 0.06,
    "colour": 0.21,
    "shape": 0.18,
    "size": 0.05,
    "left or right": 0.05,
    "above or below": 0.05,
}
"""The share of each kind in a dataset, leaning as the real ones do."""


def facts(scene: Scene) -> list[Fact]:
    """Return every question that has one answer in this scene."""
    return [*_about_groups(scene), *_about_single_things(scene), *_about_pairs(scene)]


def _about_groups(scene: Scene) -> list[Fact]:
    facts = [Fact("count all", (), str(len(scene.things)), scene.things)]
    for noun, colour, shape in kinds_of_things():
        group = tuple(matching(scene, colour, shape))
        facts.append(Fact("exist", (a(noun),), "yes" if group else "no", group))
        if (colour is None or shape is None) and len(group) <= 3:
            facts.append(Fact("count", (plural(noun),), str(len(group)), group))
    counts = {shape: len(matching(scene, None, shape)) for shape in SHAPES}
    for shape_name in SHAPES:
        for two in SHAPES:
            # Both kinds are there, or the question would be about existence.
            if shape_name != two and counts[shape_name] and counts[two]:
                answer = "yes" if counts[shape_name] > counts[two] else "no"
                facts.append(Fact("more", (plural(shape_name), plural(two)), answer))
    return facts


def _about_single_things(scene: Scene) -> list[Fact]:
    facts = []
    single = only_one(scene)
    for thing in scene.things:
        if thing.shape in single:
            facts.append(Fact("colour", (thing.shape,), thing.colour, (thing,)))
            facts.append(Fact("size", (thing.shape,), thing.size, (thing,)))
            facts += [
                Fact("is colour", (thing.shape, colour), "yes" if colour == thing.colour else "no", (thing,))
                for colour in COLOURS
            ]
        elif sum((t.shape, t.size) == (thing.shape, thing.size) for t in scene.things) == 1:
            facts.append(Fact("colour", (f"{thing.size} {thing.shape}",), thing.colour, (thing,)))
        if len(matching(scene, thing.colour, None)) == 1:
            facts.append(Fact("shape", (f"{thing.colour} thing",), thing.shape, (thing,)))
            facts.append(Fact("size", (f"{thing.colour} thing",), thing.size, (thing,)))
        elif sum((t.colour, t.size) == (thing.colour, thing.size) for t in scene.things) == 1:
            facts.append(Fact("shape", (f"{thing.size} {thing.colour} thing",), thing.shape, (thing,)))
    for anchor in single.values():
        for side, words in SIDES.items():
            beside = [t for t in scene.things if t is not anchor and side in relations(t, anchor)]
            if len(beside) == 1:
                slots = (f"thing {words} the {anchor.shape}",)
                facts.append(Fact("colour", slots, beside[0].colour, (beside[0], anchor)))
    return facts


def _about_pairs(scene: Scene) -> list[Fact]:
    facts = []
    single = only_one(scene)
    for thing in single.values():
        for two in single.values():
            if thing is two:
                continue
            pair, names = (thing, two), (thing.shape, two.shape)
            sides = relations(thing, two)
            for side, words in SIDES.items():
                opposite = {"left": "right", "right": "left", "above": "below", "below": "above"}[side]
                if side in sides or opposite in sides:
                    facts.append(Fact("relation", (*names, words), "yes" if side in sides else "no", pair))
            facts += [
                Fact("left or right" if side in ("left", "right") else "above or below", names, side, pair)
                for side in sides
            ]
            facts.append(Fact("same colour", names, "yes" if thing.colour == two.colour else "no", pair))
    return facts
