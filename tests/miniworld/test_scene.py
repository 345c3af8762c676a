"""Scenes: things apart from each other, each with a name of its own, and drawn where the boxes say."""

import io

import numpy as np
import pytest
from PIL import Image

from vlmt_cli.miniworld.draw import cover_box, png
from vlmt_cli.miniworld.scene import COLOURS, HEIGHT, WIDTH, Scene, invent_scenes

SCENES = invent_scenes(np.random.default_rng(5), 400)


def test_things_are_apart_and_in_sight():
    for scene in SCENES:
        boxes = [thing.box for thing in scene.things]
        if scene.cover:
            left, top, right, bottom = cover_box(scene.cover)
            boxes.append((left, top, right - left, bottom - top))
        for i, (x, y, width, height) in enumerate(boxes):
            assert min(x, y) >= 0
            assert x + width <= WIDTH
            assert y + height <= HEIGHT
            for u, v, other_width, other_height in boxes[:i]:
                assert x + width <= u or u + other_width <= x or y + height <= v or v + other_height <= y


def test_colour_and_shape_name_one_thing():
    for scene in SCENES:
        could_be_called = [(name, t.shape) for t in scene.things for name in {t.colour, t.other_colour} - {None}]
        assert len(could_be_called) == len(set(could_be_called))


def test_in_between_hues_are_named_by_a_coin():
    """They are as far from either name's hue, so that nobody can see which name people gave."""
    things = [thing for scene in SCENES for thing in scene.things]
    between = [thing for thing in things if thing.other_colour]
    assert len(between) / len(things) == pytest.approx(0.15, abs=0.04)
    order = list(COLOURS)
    clockwise = 0
    for thing in between:
        steps = (order.index(thing.other_colour) - order.index(thing.colour)) % len(order)
        assert steps in (1, len(order) - 1)
        clockwise += steps == 1
        for name in (thing.colour, thing.other_colour):
            assert np.allclose(2 * (np.array(thing.rgb) - COLOURS[name]), np.subtract(
                COLOURS[{thing.colour: thing.other_colour, thing.other_colour: thing.colour}[name]], COLOURS[name]
            ), atol=2)  # fmt: skip
    assert clockwise / len(between) == pytest.approx(0.5, abs=0.12)


def test_pixels_show_the_things():
    for scene in SCENES[:60]:
        pixels = _pixels(scene)
        assert pixels.shape == (HEIGHT, WIDTH, 3)
        for thing in scene.things:
            assert tuple(pixels[thing.y, thing.x]) == thing.rgb
            x, y, width, height = thing.box
            own = (pixels == thing.rgb).all(axis=2)
            assert own[y : y + height, x : x + width].sum() > 0.2 * width * height


def _pixels(scene: Scene) -> np.ndarray:
    with Image.open(io.BytesIO(png(scene))) as image:
        return np.asarray(image)
