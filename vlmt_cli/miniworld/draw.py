"""Scenes to PNG files and to outlines."""

import io
import math

from PIL import Image, ImageDraw

from vlmt_cli.miniworld.scene import CELL, HEIGHT, WIDTH, Scene, Thing

FINE = 2
"""Drawn at twice the size and averaged: smooth edges at little cost."""


def png(scene: Scene) -> bytes:
    """Return the scene as the bytes of a PNG of 160 x 128 RGB pixels."""
    image = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE), scene.background)
    pen = ImageDraw.Draw(image)
    if scene.dots:
        shade = tuple(value - 22 for value in scene.background)
        columns, rows = (range(2 * FINE, side, scene.dots * FINE) for side in image.size)
        for i in range(FINE):
            pen.point([(x + i, y + j) for x in columns for y in rows for j in range(FINE)], fill=shade)
    for thing in scene.things:
        pen.polygon([(x * FINE, y * FINE) for x, y in outline(thing)], fill=thing.rgb)
    if scene.cover is not None:
        left, top, right, bottom = (value * FINE for value in cover_box(scene.cover))
        pen.rectangle((left, top, right, bottom), fill=(150, 150, 150))
        for y in range(top + 2 * FINE, bottom, 6 * FINE):
            pen.rectangle((left, y, right, y + 2 * FINE), fill=(110, 110, 110))
    out = io.BytesIO()
    image.reduce(FINE).save(out, "PNG", compress_level=6)
    return out.getvalue()


def cover_box(cover: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom in pixels of the panel at this column and row."""
    left, top = cover[0] * CELL + 1, cover[1] * CELL + 1
    return left, top, left + 2 * CELL - 3, top + 2 * CELL - 3


def outline(thing: Thing) -> list[tuple[float, float]]:
    """Return the corners of the thing, x and y in pixels, all within its box."""
    return [(thing.x + thing.radius * dx, thing.y + thing.radius * dy) for dx, dy in _UNIT[thing.shape]]


def _ring(corners: int, radii: tuple[float, ...] = (1.0,)) -> list[tuple[float, float]]:
    turn = 2 * math.pi / corners
    return [
        (radii[i % len(radii)] * math.sin(i * turn), -radii[i % len(radii)] * math.cos(i * turn))
        for i in range(corners)
    ]


_T = 0.34
_UNIT: dict[str, list[tuple[float, float]]] = {
    "circle": _ring(24),
    "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    "triangle": [(0.0, -1.0), (1.0, 0.9), (-1.0, 0.9)],
    "diamond": [(0.0, -1.0), (0.7, 0.0), (0.0, 1.0), (-0.7, 0.0)],
    "star": _ring(10, (1.0, 0.42)),
    "cross": [
        (-_T, -1),
        (_T, -1),
        (_T, -_T),
        (1, -_T),
        (1, _T),
        (_T, _T),
        (_T, 1),
        (-_T, 1),
        (-_T, _T),
        (-1, _T),
        (-1, -_T),
        (-_T, -_T),
    ],
}
