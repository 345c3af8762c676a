"""Flickr30k Entities: phrases of Flickr30k captions and their boxes, one example a phrase that has a box.

Sentences/1000092795.txt, a caption a line
    [/EN#1/people Two young guys] with [/EN#2/bodyparts shaggy hair] look at [/EN#3/bodyparts their hands] ...
Annotations/1000092795.xml
    <annotation><filename>1000092795.jpg</filename><size><width>333</width><height>500</height><depth>3</depth></size>
      <object><name>1</name>
        <bndbox><xmin>178</xmin><ymin>76</ymin><xmax>265</xmax><ymax>403</ymax></bndbox></object>
      <object><name>2</name><name>5</name><nobndbox>1</nobndbox></object> <object>...<scene>1</scene></object> ...
train.txt (val.txt and test.txt alike)
    one image a line

From https://github.com/BryanPlummer/flickr30k_entities; its annotations.zip, which holds the two folders, is read as it
is. 29,783 / 1,000 / 1,000 images, which is not the Karpathy split.
The extra task of table 5, "Flickr30k grounding". An example is named image#caption#phrase, both counted from 0.

Traps: the number after EN# is a chain: phrases of all five captions that mean the same, which may own several boxes, as
may a box several chains; chain 0 is what is not visible; coordinates count from 1; a phrase may have several coarse
types, which stay joined: "clothing/bodyparts".
"""

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.folders import open_folder
from vlmt_cli.base.keys import image_keys
from vlmt_cli.base.words import printable
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.source import check_records, find, read_lines
from vlmt_cli.datasets.tables import REFERRING, Examples, check_unique, example_table, lists, note, sound_corners

SENTENCES, ANNOTATIONS = "Sentences", "Annotations"
SPLITS = ("train", "val", "test")

Read = Callable[[str], bytes]
"""What reads a file of a folder by its name."""

Row = tuple[int, int, float, float, float, float, float, float]
"""Image, chain, a box as it is written, and the image's width and height, 0 where they are not known."""

_PHRASE = re.compile(r"\[/EN#(\d{1,9})/([^\s\]]+) ([^\[\]]*)\]")
_CHAIN = re.compile(r"\d{1,9}", re.ASCII)
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class Phrase(msgspec.Struct, gc=False):
    image: int
    caption: int
    number: int
    chain: int
    kind: str
    text: str


def read(raw: Path, options: Options) -> Examples:
    """Read the phrases that have a box; the others are counted in the notes."""
    is_first = options.flickr30k_entities.box == "first"
    result = Examples()
    sentences, annotations = find(raw, SENTENCES), find(raw, ANNOTATIONS)
    for split in SPLITS:
        if path := find(raw, f"{split}.txt"):
            ids = pa.array([line.strip() for line in read_lines(path) if line.strip()], pa.string())
            check_records(path, ids.to_pylist())
            keys = image_keys("flickr30k", ids, path)  # no id leads out of the folders
            check_unique(ids, path)
            if split == "test":
                result.test_images[split] = keys
            if sentences is None or annotations is None:
                continue
            names = ids.to_pylist()
            phrases: list[Phrase] = []
            with open_folder(sentences) as (_, read_text):
                for number, name in enumerate(names):
                    phrases += _phrases(number, sentences / f"{name}.txt", read_text, split, result.notes)
            with open_folder(annotations) as (_, read_text):
                boxes = [
                    each for n, name in enumerate(names) for each in _boxes(n, annotations / f"{name}.xml", read_text)
                ]
            result.splits[split] = table = _table(path, names, keys, phrases, boxes, is_first, result.notes)
            note(result.notes, f"phrases without a box in {split}, left out", len(phrases) - len(table))
    return result


def _table(
    path: Path,
    names: list[str],
    keys: pa.Array,
    phrases: list[Phrase],
    boxes: list[Row],
    first: bool,
    notes: dict[str, int],
) -> pa.Table:
    owner, corners = _chain_boxes(boxes, first, notes)
    chain_boxes = pa.FixedSizeListArray.from_arrays(pa.array(corners.ravel()), 4)
    image = owner[:, 0]
    sizes = np.bincount(image, minlength=len(names))

    asked = np.array([(phrase.image, phrase.chain) for phrase in phrases], dtype=np.int64).reshape(-1, 2)
    # One number for image and chain, which sorts as the pair does.
    step = max(owner[:, 1].max(initial=0), asked[:, 1].max(initial=0)) + 1
    wanted, known = asked @ (step, 1), owner @ (step, 1)
    boxed = np.flatnonzero(np.isin(wanted, known))
    meant = np.searchsorted(known, wanted[boxed])
    shown = pa.array(image[meant])
    kept = [phrases[i] for i in boxed]
    return example_table(
        REFERRING,
        path,
        example_id=[f"{names[each.image]}#{each.caption}#{each.number}" for each in kept],
        images=keys.take(shown),
        text=[each.text for each in kept],
        box=chain_boxes.take(pa.array(meant)),
        candidates=lists(sizes, chain_boxes).take(shown),
        target=meant - (np.cumsum(sizes) - sizes)[image[meant]],
        category=[each.kind for each in kept],
    )


def _chain_boxes(boxes: list[Row], first: bool, notes: dict[str, int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Give every chain one box, the union of its boxes or the first of them.

    Returns:
        (C, 2) image and chain, sorted, and (C, 4) corners that count from 0.
    """
    rows = np.array(boxes, dtype=np.float64).reshape(-1, 8)
    with np.errstate(over="ignore"):
        corners = rows[:, 2:6].astype(np.float32) - 1
    corners, is_sound = sound_corners(corners, notes, rows[:, 6], rows[:, 7])
    owner, corners = rows[is_sound, :2].astype(np.int64), corners[is_sound]
    order = np.lexsort((owner[:, 1], owner[:, 0]))
    owner, corners = owner[order], corners[order]
    starts = np.flatnonzero(np.any(np.diff(owner, axis=0, prepend=-1) != 0, axis=1))
    if first or not len(starts):
        return owner[starts], corners[starts]
    low, high = np.minimum.reduceat(corners[:, :2], starts), np.maximum.reduceat(corners[:, 2:], starts)
    return owner[starts], np.hstack([low, high])


def _phrases(image: int, path: Path, read_text: Read, split: str, notes: dict[str, int]) -> list[Phrase]:
    phrases_read = []
    for caption, line in enumerate(_text(path, read_text).split("\n")):
        phrases = _PHRASE.findall(line)
        if len(phrases) != line.count("[/EN#"):
            raise DataError(
                "a phrase is not written [/EN#chain/type words]",
                where=f"{path}: line {caption + 1}",
                todo="download the official file again",
            )
        phrases_read += [
            Phrase(image, caption, n, int(chain), kind, text) for n, (chain, kind, text) in enumerate(phrases)
        ]
        if line.count("[") + line.count("]") != 2 * len(phrases):
            note(notes, f"captions in {split} with a bracket that belongs to no phrase", 1)
    if not phrases_read:
        note(notes, f"images in {split} whose sentences have no phrase", 1)
    return phrases_read


def _boxes(image: int, path: Path, read_text: Read) -> list[Row]:
    text = _text(path, read_text)
    rows = []
    try:
        if "<!DOCTYPE" in text:  # entities that it defines could grow without end
            raise ValueError("a DOCTYPE has no place in it")
        root = ElementTree.fromstring(text)
        named = (root.findtext("filename") or "").strip().removesuffix(".jpg")
        if named.isdecimal() and named != path.stem:
            raise ValueError(f"it is of {named}.jpg")
        width, height = (_side(root, name) for name in ("width", "height"))
        for each in root.iter("object"):
            names = [part.text for part in each if part.tag == "name"]
            for box in each.iter("bndbox"):
                corners = {side.tag: side.text for side in box}
                x1, y1, x2, y2 = (float(corners[name] or "") for name in _CORNERS)
                rows += [(image, _chain(name), x1, y1, x2, y2, width, height) for name in names]
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise DataError(
            f"is not an intact annotation ({printable(error)})", where=path, todo="download the official file again"
        ) from error
    return rows


def _chain(name: str | None) -> int:
    if not (name and _CHAIN.fullmatch(name.strip())):
        raise ValueError(f"{printable(name)} is not a chain")
    return int(name)


def image_sizes(raw: Path, keys: pa.Array) -> NDArray[np.float64] | None:
    """Return width and height in pixels of N images, (N, 2), NaN where they are not known; None without the folder."""
    if (annotations := find(raw, ANNOTATIONS)) is None:
        return None
    sizes: dict[str, tuple[float, float]] = {}
    with open_folder(annotations) as (there, read_text):
        for key in keys.unique().to_pylist():
            path = annotations / f"{key.removeprefix('flickr30k:')}.xml"
            rows = _boxes(0, path, read_text) if path.name in there else []
            sizes[key] = (rows[0][6], rows[0][7]) if rows and rows[0][6] and rows[0][7] else (np.nan, np.nan)
    return np.array([sizes[key] for key in keys.to_pylist()], np.float64).reshape(-1, 2)


def _side(root: ElementTree.Element, name: str) -> float:
    """Return an image's width or height; 0 where it is not known."""
    try:
        side = float(root.findtext(f"size/{name}") or "")
    except ValueError:
        return 0.0
    return side if 0 < side < np.inf else 0.0


def _text(path: Path, read_text: Read) -> str:
    try:
        return read_text(path.name).decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DataError(f"cannot be read ({reason})", where=path, todo="download the official files again") from error
