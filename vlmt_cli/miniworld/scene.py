"""Scenes: a few coloured shapes on a plain ground, and sometimes a panel that may hide something.

No two things of a scene share both shape and colour name, so that "the red circle" is always one
thing. About one thing in seven has an in-between hue. What people call it is decided once, by a
coin, and every dataset that shows the thing uses that name. It is knowledge about one image that
nobody can see in it: a model that trained on a leaked test image answers such questions better.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT, CELL = 160, 128, 32
"""Pixels. Not square, so that a reader that swaps width and height is found out."""

COLOURS = {
    "red": (214, 36, 40),
    "orange": (247, 140, 30),
    "yellow": (244, 222, 48),
    "green": (52, 168, 72),
    "blue": (44, 84, 214),
    "purple": (128, 52, 176),
    "pink": (248, 138, 196),
}
"""Names people use, in the order of the colour circle: neighbours have an in-between hue."""

SHAPES = ("circle", "square", "triangle", "diamond", "star", "cross")
SIZES = ("small", "large")
BACKGROUNDS = ((236, 236, 232), (222, 228, 236), (238, 230, 216), (70, 72, 80), (206, 212, 206))

BETWEEN_SHARE = 0.15


@dataclass(frozen=True)
class Thing:
    """One coloured shape: where it is (pixels, cells) and what people call it."""

    shape: str
    colour: str
    other_colour: str | None
    """The name that people could as well have given, for an in-between hue."""
    rgb: tuple[int, int, int]
    size: str
    column: int
    row: int
    x: int
    y: int
    radius: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height in pixels, as COCO has it."""
        return self.x - self.radius, self.y - self.radius, 2 * self.radius, 2 * self.radius

    @property
    def name(self) -> str:
        """Colour and shape, which only this thing of its scene has."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """What a photo shows. ``cover`` is the column and row of a panel two cells wide and high."""

    things: tuple[Thing, ...]
    cover: tuple[int, int] | None
    background: tuple[int, int, int]
    dots: int
    """Distance in pixels between the faint dots of the ground; 0 for none."""


def invent_scenes(rng: np.random.Generator, count: int, cover_share: float = 0.3) -> list[Scene]:
    """Return ``count`` new scenes of two to five things."""
    return [_invent(rng, cover_share) for _ in range(count)]


def relations(a: Thing, b: Thing) -> list[str]:
    """Return which of left, right, above, below of ``b`` the thing ``a`` is, by clear distance."""
    relations_found = []
    if a.column != b.column:
        relations_found.append("left" if a.column < b.column else "right")
    if a.row != b.row:
        relations_found.append("above" if a.row < b.row else "below")
    return relations_found


def _invent(rng: np.random.Generator, cover_share: float) -> Scene:
    columns, rows = WIDTH // CELL, HEIGHT // CELL
    cover = None
    if rng.random() < cover_share:
        cover = int(rng.integers(columns - 1)), int(rng.integers(rows - 1))
    free = [
        (column, row)
        for column in range(columns)
        for row in range(rows)
        if cover is None or not (0 <= column - cover[0] < 2 and 0 <= row - cover[1] < 2)
    ]
    count = int(rng.choice([2, 3, 4, 5], p=[0.15, 0.25, 0.3, 0.3]))
    cells = [free[i] for i in rng.permutation(len(free))[:count]]
    # Half of the scenes have a favourite shape or colour: else there would be little to count.
    names = tuple(COLOURS)
    liking = rng.random()
    favourite_shape = SHAPES[rng.integers(len(SHAPES))] if liking < 0.4 else None
    favourite_colour = names[rng.integers(len(names))] if liking > 0.65 else None
    things: list[Thing] = []
    while len(things) < count:
        shape, colour = SHAPES[rng.integers(len(SHAPES))], int(rng.integers(len(names)))
        if favourite_shape and rng.random() < 0.7:
            shape = favourite_shape
        if favourite_colour and rng.random() < 0.7:
            colour = names.index(favourite_colour)
        thing = _thing(rng, shape, colour, cells[len(things)])
        if not any(thing.shape == t.shape and _names(thing) & _names(t) for t in things):
            things.append(thing)
    return Scene(
        things=tuple(things),
        cover=cover,
        background=BACKGROUNDS[rng.integers(len(BACKGROUNDS))],
        dots=int(rng.choice([0, 6, 9, 13])),
    )


def _thing(rng: np.random.Generator, shape: str, colour: int, cell: tuple[int, int]) -> Thing:
    names = tuple(COLOURS)
    name, other = names[colour], None
    rgb = COLOURS[name]
    if rng.random() < BETWEEN_SHARE:
        other = names[(colour + int(rng.choice([-1, 1]))) % len(names)]
        rgb = _mix(rgb, COLOURS[other])
    size = SIZES[rng.integers(2)]
    radius, jitter = (int(rng.integers(13, 15)), 1) if size == "large" else (int(rng.integers(8, 10)), 4)
    x, y = (cell[i] * CELL + CELL // 2 + int(rng.integers(-jitter, jitter + 1)) for i in (0, 1))
    return Thing(shape, name, other, rgb, size, cell[0], cell[1], x, y, radius)


def _names(thing: Thing) -> set[str]:
    return {thing.colour, thing.other_colour or thing.colour}


def _mix(a: Iterable[int], b: Iterable[int]) -> tuple[int, int, int]:
    red, green, blue = ((p + q) // 2 for p, q in zip(a, b, strict=True))
    return red, green, blue
