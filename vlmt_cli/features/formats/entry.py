"""What a reader of foreign feature files returns, and how it checks their fields."""

import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmt_cli.features.record import Regions


class Entry(NamedTuple):
    """One image of a source.

    Attributes:
        name: how the source names it.
        read: reads its regions; raises a ValueError or DataError that says what is wrong with them.
        share: the share of the source that is read with this entry.
        caption: the words beside it, where the source has some.
        damaged: what is wrong, where nothing can be read, the name of the image perhaps included.
    """

    name: str
    read: Callable[[], Regions]
    share: float
    caption: str | None = None
    damaged: str | None = None


@dataclass(frozen=True)
class PackOptions:
    """What a source does not say of itself.

    Attributes:
        ids: for HDF5, the file that says which image each row is, where it does not lie beside it.
        whole_image_boxes: take features without boxes, and give every region the box of the whole image.
    """

    ids: Path | None = None
    whole_image_boxes: bool = False


def damaged(name: str, what: str, share: float) -> Entry:
    """Return the entry of a record that cannot be read; ``name`` is whatever tells it apart."""

    def read() -> Regions:
        raise ValueError(what)

    return Entry(name, read, share, damaged=what)


def pick(record: Mapping[Any, Any], *names: str) -> Any:
    """Return the first of these fields that is there, or None."""
    return next((record[name] for name in names if record.get(name) is not None), None)


def numbers(value: Any, name: str) -> NDArray[np.floating]:
    """Take an array, or float32 numbers in base64, as floats of any shape. Raises a ValueError that says why not."""
    if isinstance(value, (str, bytes)):
        return np.frombuffer(decode_base64(value, name), "<f4")
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        kind = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"{type(value).__name__}"
        raise ValueError(f"{name} is {kind}, not numbers" if value is not None else f"{name} is missing")
    if value.dtype == np.float16:
        return value
    with np.errstate(over="ignore"):  # what becomes infinite is found later
        return value.astype("<f4", copy=False)


def decode_base64(value: str | bytes, name: str) -> bytes:
    """Decode float32 numbers in base64, also where Python 3 wrote them as ``b'...'``."""
    try:
        data = value.encode("ascii") if isinstance(value, str) else value
        decoded = binascii.a2b_base64(data[2:-1] if data[:2] in (b"b'", b'b"') else data, strict_mode=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError(f"{name} is not base64 ({error})") from error
    if len(decoded) % 4:
        raise ValueError(f"{name} ends within a number, after {len(decoded)} bytes")
    return decoded


def whole(value: Any, name: str) -> int:
    """Take a number or its text as an integer. Raises a ValueError that says why not."""
    try:
        return int(float(value))
    except (TypeError, ValueError, OverflowError) as error:
        shown = "missing" if value is None else f"{value!r:.40}, not a number"
        raise ValueError(f"{name} is {shown}") from error


def assemble(
    boxes: NDArray[np.floating],
    features: NDArray[np.floating],
    width: int,
    height: int,
    scores: NDArray[np.floating] | None = None,
) -> Regions:
    """Put one image together; flat arrays are cut into rows. Raises a ValueError when they do not divide."""
    if boxes.ndim == 1:
        if boxes.size % 4:
            raise ValueError(f"boxes are {boxes.size} numbers, not 4 a region")
        boxes = boxes.reshape(-1, 4)
    if features.ndim == 1:
        features = _rows(features, len(boxes), "features")
    if scores is not None and scores.ndim == 1:
        scores = _rows(scores, len(boxes), "class scores")
    return Regions(boxes.astype("<f4", copy=False), features, width, height, scores)


def _rows(flat: NDArray[np.floating], n: int, name: str) -> NDArray[np.floating]:
    if not n or flat.size % n:
        raise ValueError(f"{name} are {flat.size} numbers, which do not divide into {n} regions")
    return flat.reshape(n, -1)
