"""Words and phrases for things: nouns, plurals, referring expressions, captions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlmt_cli.miniworld.scene import COLOURS, SHAPES, SIZES, Scene, Thing, relations

NUMBERS = ("no", "one", "two", "three", "four", "five")
SIDES = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}
ADJECTIVES = (*COLOURS, *SIZES)


def a(noun: str) -> str:
    """Return the noun with its article: an orange star."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def plural(noun: str) -> str:
    """Return the noun for several: crosses, red shapes."""
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"


def kinds_of_things() -> list[tuple[str, str | None, str | None]]:
    """Return every (noun, colour or None, shape or None) that can be looked for or counted."""
    return [
        *((shape, None, shape) for shape in SHAPES),
        *((f"{colour} shape", colour, None) for colour in COLOURS),
        *((f"{colour} {shape}", colour, shape) for colour in COLOURS for shape in SHAPES),
    ]


def matching(scene: Scene, colour: str | None, shape: str | None) -> list[Thing]:
    """Return the things of that colour and shape; None is any."""
    return [t for t in scene.things if colour in (None, t.colour) and shape in (None, t.shape)]


def only_one(scene: Scene) -> dict[str, Thing]:
    """Return shape to thing, for the shapes that occur once."""
    shapes = [thing.shape for thing in scene.things]
    return {thing.shape: thing for thing in scene.things if shapes.count(thing.shape) == 1}


def plain_expressions(scene: Scene, target: Thing) -> list[str]:
    """Return expressions without location words that only the target satisfies; never empty."""
    alone = {
        "shape": sum(t.shape == target.shape for t in scene.things) == 1,
        "colour": sum(t.colour == target.colour for t in scene.things) == 1,
        "size": sum(t.size == target.size for t in scene.things) == 1,
        "size shape": sum((t.size, t.shape) == (target.size, target.shape) for t in scene.things) == 1,
    }
    expressions = [
        target.name,
        f"the {target.name}",
        f"{target.size} {target.name}",
        f"{target.shape} that is {target.colour}",
    ]
    if alone["shape"]:
        expressions += [target.shape, f"the {target.shape}", f"only {target.shape}"]
    if alone["colour"]:
        expressions += [f"{target.colour} one", f"the {target.colour} thing", f"{target.colour} shape"]
    if alone["size"]:
        expressions += [f"the {target.size} one", f"{target.size} shape"]
    if alone["size shape"] and not alone["shape"]:
        expressions += [f"{target.size} {target.shape}", f"the {target.size} {target.shape}"]
    return expressions


def located_expressions(scene: Scene, target: Thing) -> list[str]:
    """Return expressions with location words that only the target satisfies; may be empty."""
    expressions = []
    for noun, rivals in (
        ("one", scene.things),
        (target.shape, [t for t in scene.things if t.shape == target.shape]),
        (f"{target.colour} one", [t for t in scene.things if t.colour == target.colour]),
    ):
        others = [t for t in rivals if t is not target]
        for side, phrases in (
            ("left", ("left {}", "{} on the left", "the {} farthest left")),
            ("right", ("right {}", "{} on the right", "the {} farthest right")),
            ("above", ("top {}", "{} at the top", "highest {}")),
            ("below", ("bottom {}", "{} at the bottom", "lowest {}")),
        ):
            if others and all(side in relations(target, t) for t in others):
                expressions += [phrase.format(noun) for phrase in phrases]
    for other in scene.things:
        if other is not target:
            for side in relations(target, other):
                rivals = [t for t in scene.things if t is not other and side in relations(t, other)]
                if len(rivals) == 1:
                    expressions.append(f"shape {SIDES[side]} the {other.name}")
    return expressions


def long_expressions(scene: Scene, target: Thing) -> list[str]:
    """Return full phrases, as in RefCOCOg, that only the target satisfies; never empty."""
    expressions = [f"the {target.size} {target.name}", f"{a(target.size)} {target.shape} that is {target.colour}"]
    for other in scene.things:
        if other is target:
            continue
        for side in relations(target, other):
            side_words = SIDES[side]
            expressions.append(f"the {target.name} that is {side_words} the {other.name}")
            expressions.append(f"{a(target.size)} {target.name} {side_words} {a(other.name)}")
            rivals = [t for t in scene.things if t.shape == target.shape and t is not other]
            if sum(side in relations(t, other) for t in rivals) == 1:
                expressions.append(f"the {target.shape} which is {side_words} the {other.name}")
    return expressions


@dataclass(frozen=True)
class Phrase:
    """A piece of a caption. ``things`` says which things it names (Flickr30k Entities)."""

    text: str
    things: tuple[Thing, ...] = ()
    scene: bool = False
    cover: bool = False

    @property
    def grounded(self) -> bool:
        """Whether the phrase names something, seen or not."""
        return bool(self.things) or self.scene or self.cover


def captions(rng: np.random.Generator, scene: Scene, count: int) -> list[tuple[Phrase, ...]]:
    """Return ``count`` different captions, each naming two things or more by colour and shape."""
    captions_of: dict[str, tuple[Phrase, ...]] = {}
    while len(captions_of) < count:
        caption = _CAPTIONS[rng.integers(len(_CAPTIONS))](rng, scene)
        captions_of.setdefault(sentence(caption), caption)
    return list(captions_of.values())


def sentence(caption: Sequence[Phrase]) -> str:
    """Return the caption as people write it: a capital first, a full stop last."""
    text = " ".join(phrase.text for phrase in caption).replace(" ,", ",")
    return f"{text[0].upper()}{text[1:]}."


def _names(rng: np.random.Generator, thing: Thing) -> Phrase:
    return Phrase(a(f"{thing.size} {thing.name}" if rng.random() < 0.4 else thing.name), (thing,))


def _beside(rng: np.random.Generator, scene: Scene) -> tuple[Phrase, ...]:
    first, second = (scene.things[i] for i in rng.permutation(len(scene.things))[:2])
    sides = relations(first, second)
    verb = ("is", "sits", "can be seen")[rng.integers(3)]
    return _names(rng, first), Phrase(f"{verb} {SIDES[sides[rng.integers(len(sides))]]}"), _names(rng, second)


def _everything(rng: np.random.Generator, scene: Scene) -> tuple[Phrase, ...]:
    start = (Phrase("there is"),) if rng.random() < 0.4 else ()
    return *start, *_some(rng, scene.things, len(scene.things))


def _on_a_ground(rng: np.random.Generator, scene: Scene) -> tuple[Phrase, ...]:
    ground = Phrase("a dark background" if sum(scene.background) < 300 else "a light background", scene=True)
    return *_some(rng, scene.things, 3), Phrase("on"), ground


def _counted(rng: np.random.Generator, scene: Scene) -> tuple[Phrase, ...]:
    chosen = scene.things[rng.integers(len(scene.things))]
    rest = [thing for thing in scene.things if thing is not chosen]
    like = {thing.shape for thing in rest}
    noun = like.pop() if len(like) == 1 else "shape"
    others = f"{NUMBERS[len(rest)]} other {plural(noun) if len(rest) > 1 else noun}"
    return (
        _names(rng, chosen),
        Phrase("with"),
        Phrase(others, tuple(rest)),
        Phrase(", among them"),
        *_some(rng, rest, 2),
    )


def _panel(rng: np.random.Generator, scene: Scene) -> tuple[Phrase, ...]:
    if scene.cover is None:
        return _beside(rng, scene)
    panel = Phrase(("a grey striped panel", "a striped panel")[rng.integers(2)], cover=True)
    return panel, Phrase("near"), *_some(rng, scene.things, 3)


def _some(rng: np.random.Generator, things: Sequence[Thing], most: int) -> list[Phrase]:
    """Name so many of the things, or all: a, b and c."""
    named = [_names(rng, things[i]) for i in rng.permutation(len(things))[:most]]
    joints = [Phrase(",")] * (len(named) - 2) + [Phrase("and")]
    return [named[0], *(part for pair in zip(joints, named[1:], strict=False) for part in pair)]


_CAPTIONS = (_beside, _everything, _on_a_ground, _counted, _panel)
