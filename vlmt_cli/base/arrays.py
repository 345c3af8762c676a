"""Arrays made of other people's bytes: every number about them is checked before numpy sees it."""

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmt_cli.base.words import printable

_PLAIN = re.compile(
    r"[<>=|]?(?:f[248]|[iu][1248]|b1|\?|[SUa][1-9]\d{0,5}|[efdbBhHiIlLqQ])"
    r"|u?int(?:8|16|32|64)?|float(?:16|32|64)?|bool"
)
_MOST_DIMENSIONS = 32
_LAST_LETTER = 0x10FFFF


def plain_dtype(text: Any) -> np.dtype[Any]:
    """Return the dtype of plain numbers or texts that a string names. Raises a ValueError for any other."""
    if not isinstance(text, str) or not _PLAIN.fullmatch(text):
        raise ValueError(f"an array of {printable(repr(text), 40)}, which is not a plain number or text")
    return np.dtype(text.replace("a", "S") if text.lstrip("<>=|").startswith("a") else text)


def shape_of(shape: Any) -> tuple[int, ...]:
    """Check that a value is an array's shape. Raises a ValueError."""
    if (
        not isinstance(shape, (tuple, list))
        or len(shape) > _MOST_DIMENSIONS
        or not all(type(side) is int and 0 <= side < 2**31 for side in shape)
    ):
        raise ValueError(f"an array of shape {printable(repr(shape), 40)}")
    return tuple(shape)


def array_of(raw: Any, dtype: np.dtype[Any], shape: Any, is_fortran: bool = False) -> NDArray[Any]:
    """View bytes as an array that cannot be written to.

    Args:
        raw: exactly the bytes of the array.
        dtype: from ``plain_dtype``.
        shape: of any type and values.
        is_fortran: whether the first index runs fastest.

    Raises:
        ValueError: shape and bytes do not fit each other, or the bytes are not text.
    """
    sides = shape_of(shape)
    if not isinstance(raw, (bytes, bytearray, memoryview)) or math.prod(sides) * dtype.itemsize != len(raw):
        size = len(raw) if isinstance(raw, (bytes, bytearray, memoryview)) else type(raw).__name__
        raise ValueError(f"an array of shape {printable(repr(sides), 40)} and {dtype} in {size} bytes")
    flat: NDArray[Any] = np.frombuffer(raw, dtype) if len(raw) else np.empty(0, dtype)
    if dtype.kind == "U" and flat.size and flat.view(np.dtype("u4").newbyteorder(dtype.byteorder)).max() > _LAST_LETTER:
        raise ValueError("an array of texts with characters outside Unicode")
    return flat.reshape(sides, order="F" if is_fortran else "C")


def objects_of(items: Any, shape: Any) -> NDArray[Any]:
    """Put a list of objects into an array of them. Raises a ValueError when they are not as many as the shape says."""
    sides = shape_of(shape)
    if not isinstance(items, list) or math.prod(sides) != len(items):
        raise ValueError(f"an array of shape {printable(repr(sides), 40)} with another number of objects")
    flat = np.empty(len(items), object)
    for row, item in enumerate(items):  # numpy would take an item that is a list apart
        flat[row] = item
    return flat.reshape(sides)


def scalar_of(raw: Any, dtype: np.dtype[Any]) -> Any:
    """Return the Python number or text that some bytes are. Raises a ValueError."""
    return array_of(raw, dtype, ()).item()


def byte_order(dtype: np.dtype[Any], order: Any) -> np.dtype[Any]:
    """Return a dtype in another byte order. Raises a ValueError for what is not one."""
    if order not in ("<", ">", "=", "|"):
        raise ValueError(f"a byte order {printable(repr(order), 20)}")
    return dtype.newbyteorder(order)
