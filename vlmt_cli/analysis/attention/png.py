"""Attention as pictures for a paper or a report: figure 10 (a word for each region) and figure 12 (the four maps)."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from vlmt_cli.analysis.attention.maps import KINDS, Attention, Floats, most_attended_words, text_words
from vlmt_cli.base.files import atomic

_COLOURS = (
    "#d1495b",
    "#00798c",
    "#b5651d",
    "#3d5a98",
    "#6a994e",
    "#8e44ad",
    "#c2185b",
    "#52606d",
    "#0277bd",
    "#9a7b00",
)
_ACCENT, _REFERRED = "#5b2bc4", "#f08c00"
_LABELLED = 24  # regions, those with the largest shares
_ROWS = 40  # names beside a map, at most


@contextlib.contextmanager
def _any_letter() -> Iterator[None]:
    """Let letters that the font lacks be drawn as a box, without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


@_any_letter()
def draw_words(
    path: Path,
    attention: Attention,
    photo: Image.Image | None,
    layer: int | None = None,
    head: int | None = None,
    beyond_average: bool = False,
) -> None:
    """Draw the photo with the most-attended word of each region, and the text with these words underlined (figure 10).

    Args:
        path: the PNG to write.
        attention: the maps.
        photo: of any size; None draws the boxes on an empty ground.
        layer, head, beyond_average: as ``most_attended_words`` takes them.

    Raises:
        UsageError: the model has no such layer or head.
        VlmtError: the file cannot be written.
    """
    attended_by_region = enumerate(most_attended_words(attention, layer, head, beyond_average))
    chosen = [(region, attended) for region, attended in attended_by_region if attended is not None and region > 0]
    words = text_words(attention.tokens)
    used = sorted({attended.word for _, attended in chosen})
    colours = {word: _COLOURS[order % len(_COLOURS)] for order, word in enumerate(used)}
    figure, axes = _figure_with_photo(attention, photo)
    placed: list[Any] = []
    for region, attended in sorted(chosen, key=lambda pair: -pair[1].share):
        box, colour = attention.boxes_V4[region], colours[attended.word]
        named = len(placed) < _LABELLED and _label(figure, axes, box, words[attended.word].text, colour, placed)
        _outline(axes, box, colour, linewidth=1.8 if named else 0.8, alpha=1.0 if named else 0.4)
    underlined = {position: colours[word] for word in used for position in words[word].places}
    _write_text(figure, attention.tokens, underlined)
    _save(figure, path)


@_any_letter()
def draw_maps(
    path: Path, attention: Attention, photo: Image.Image | None, layer: int | None = None, head: int | None = None
) -> None:
    """Draw the photo with its text, and the four maps side by side: within the text, to the image, to the text, within
    the image (figures 12 and 13).

    A line is a query's attention to a key, the darker the more; only what is more than even attention, or the lines
    would be a blur. The dashed box is the one that the referring head chooses, whatever the task. Of a single stream it
    says that these are parts of self-attention.

    Args:
        path: the PNG to write.
        attention: the maps.
        photo: of any size; None draws the boxes on an empty ground.
        layer, head: of every kind, a negative one counted from the kind's last; means where None.

    Raises:
        UsageError: a kind has no such layer or head.
        VlmtError: the file cannot be written.
    """
    kinds = [kind for kind in KINDS if len(attention.maps[kind])]
    maps = [attention.map(kind, layer, head) for kind in kinds]
    figure, axes = _figure_with_photo(attention, photo, panels=len(kinds))
    if attention.referred is not None:
        _outline(axes, attention.boxes_V4[attention.referred], _REFERRED, linewidth=2.0, linestyle="--")
    for panel, (kind, map_QK) in enumerate(zip(kinds, maps, strict=True)):
        queries, keys = (attention.names(stream) for stream in kind.split("-"))
        _lines(figure.axes[1 + panel], kind.replace("-", " \N{RIGHTWARDS ARROW} "), queries, keys, map_QK)
    _write_text(figure, attention.tokens, {})
    if attention.single_stream is not None:
        said = "is a single stream: each map is a part of its\nself-attention, with rows in shares."
        left, height = figure.axes[0].get_position().x0, figure.get_size_inches()[1]
        figure.text(left, 0.15 / height, f"{attention.single_stream} {said}", fontsize=9, color="#1c1b22", va="bottom")
    _save(figure, path)


_WIDTH, _PHOTO, _PANEL, _TEXT = 6.4, 4.2, 3.4, 0.9  # inches: a photo alone, beside maps, a map, the text


def _figure_with_photo(attention: Attention, photo: Image.Image | None, panels: int = 0) -> tuple[Figure, Any]:
    """Make a figure with the photo at the left, room for the text below it, and a panel for each map beside it."""
    across = _PHOTO if panels else _WIDTH
    high = min(max(across * attention.height / attention.width, across / 3), 2 * across)
    width, height = across + 0.2 + panels * _PANEL, max(high + _TEXT, 5.4 if panels else 0) + 0.2
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.1 / width, (height - 0.1 - high) / height, across / width, high / height))
    if photo is None:
        axes.set_facecolor("#efeef2")
        axes.set(xlim=(0, attention.width), ylim=(attention.height, 0), aspect="equal")
    else:
        axes.imshow(np.asarray(photo.convert("RGB")), extent=(0, attention.width, attention.height, 0))
    axes.set(xticks=[], yticks=[], anchor="N")
    axes.spines[:].set_visible(False)
    for panel in range(panels):
        left = across + 0.2 + panel * _PANEL
        figure.add_axes((left / width, 0.15 / height, (_PANEL - 0.1) / width, (height - 0.5) / height))
    return figure, axes


def _outline(axes: Any, box: Floats, colour: str, **style: Any) -> None:
    x1, y1, x2, y2 = box
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, **style))


def _label(figure: Figure, axes: Any, box: Floats, text: str, colour: str, placed: list[Any]) -> bool:
    """Write on a box, in the first of its corners where nothing is written yet; return whether there was one."""
    x1, y1, x2, y2 = box
    ground = {"facecolor": colour, "edgecolor": "none", "pad": 1.5}
    style = {"color": "white", "fontsize": 8, "bbox": ground, "parse_math": False}
    for x, across in ((x1, "left"), (x2, "right")):
        for y, down in ((y1, "top"), (y2, "bottom")):
            label = axes.text(x, y, text, ha=across, va=down, **style)
            extent = label.get_window_extent(_renderer(figure))
            if not any(extent.overlaps(other) for other in placed):
                placed.append(extent)
                return True
            label.remove()
    return False


def _renderer(figure: Figure) -> Any:
    return cast(FigureCanvasAgg, figure.canvas).get_renderer()


def _lines(axes: Any, title: str, queries: Sequence[str], keys: Sequence[str], map_QK: Floats) -> None:
    """Draw queries at the left, keys at the right and a line for each pair."""
    even = 1 / len(keys)
    strength = np.clip((map_QK - even) / max(map_QK.max() - even, 1e-9), 0, 1)
    rows, columns = strength.nonzero()
    places = [(np.arange(len(names)) + 0.5) / len(names) for names in (queries, keys)]
    ends = [((0.32, places[0][row]), (0.68, places[1][column])) for row, column in zip(rows, columns, strict=True)]
    width = float(np.clip(40 / max(len(queries), len(keys)), 0.5, 1.6))
    if ends:  # none is where all shares are even
        axes.add_collection(LineCollection(ends, colors=_ACCENT, alpha=strength[rows, columns], linewidths=width))
    for names, at, x, side in ((queries, places[0], 0.3, "right"), (keys, places[1], 0.7, "left")):
        every = -(-len(names) // _ROWS)
        style = {"ha": side, "va": "center", "fontsize": min(8, 320 / len(names) * every), "parse_math": False}
        for name, y in list(zip(names, at, strict=True))[::every]:
            axes.text(x, y, name if len(name) < 18 else f"{name[:16]}\N{HORIZONTAL ELLIPSIS}", **style)
    axes.set(xlim=(0, 1), ylim=(1, 0))
    axes.set_title(title, fontsize=10)
    axes.axis("off")


def _write_text(figure: Figure, tokens: Sequence[str], underlined: dict[int, str]) -> None:
    """Write the tokens below the photo, line after line, some of them underlined in a colour."""
    width, height = figure.get_size_inches()
    photo = figure.axes[0].get_position()
    left, right, line = photo.x0, photo.x1, 0.24 / height
    renderer = _renderer(figure)
    x, y = left, photo.y0 - 0.18 / height
    for position, token in enumerate(tokens):
        colour = underlined.get(position, "#1c1b22")
        weight = "bold" if position in underlined else "normal"
        text = figure.text(x, y, token, fontsize=9, color=colour, weight=weight, va="top", parse_math=False)
        wide = text.get_window_extent(renderer).width / figure.dpi / width
        if x > left and x + wide > right:
            x, y = left, y - line
            text.set_position((x, y))
        if position in underlined:
            under = y - 0.16 / height
            figure.add_artist(Rectangle((x, under), wide, 0.022 / height, color=colour, transform=figure.transFigure))
        x += wide + 0.08 / width


def _save(figure: Figure, path: Path) -> None:
    with atomic(path) as temporary:
        # Without a date and version the same maps give the same bytes.
        figure.savefig(
            temporary, format="png", dpi=150, metadata={"Software": None}, bbox_inches="tight", pad_inches=0.1
        )
