"""The names that a pickle of plain data may import, and our replacements, which check their arguments.

Nothing that a pickle names is imported. A pickle of an array names numpy's ``_reconstruct``, ``ndarray`` and ``dtype``,
and fills them with a state in which a byte can become a pointer: numpy itself is not made for bytes that lie.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from vlmt_cli.base.arrays import array_of, byte_order, objects_of, plain_dtype, scalar_of
from vlmt_cli.base.words import printable


class Name:
    """A name that a pickle imports, of what plain data may need.

    Attributes:
        full: ``numpy.dtype``.
        call: what takes the arguments of a call; None for a name that is only passed on.
    """

    __slots__ = ("call", "full")

    def __init__(self, full: str, call: Callable[..., Any] | None = None) -> None:
        self.full, self.call = full, call


class Dtype:
    """A dtype before and after its state is set; objects have no numpy dtype here."""

    __slots__ = ("plain",)

    def __init__(self, plain: "np.dtype[Any] | None") -> None:
        self.plain = plain

    def set(self, state: Any) -> "Dtype":
        """Take the byte order out of a state. Raises a ValueError when it says more than that."""
        if not isinstance(state, tuple) or not 5 <= len(state) <= 9 or any(part is not None for part in state[2:5]):
            raise ValueError("a dtype with fields or parts, which is not a plain number")
        if self.plain is not None:
            self.plain = byte_order(self.plain, state[1])
        return self


class Unfilled:
    """An array whose shape and numbers are still to come, as its state; ``made`` is the array when they have come."""

    __slots__ = ("made",)

    def __init__(self) -> None:
        self.made: Any = None

    def set(self, state: Any) -> Any:
        """Make the array. Raises a ValueError when the state contradicts itself."""
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise ValueError("an array without a state")
        shape, dtype, is_fortran, raw = state[-4:]
        if not isinstance(dtype, Dtype):
            raise ValueError("an array without a dtype")
        if dtype.plain is None:
            self.made = objects_of(raw, shape)
        else:
            self.made = array_of(_raw(raw), dtype.plain, shape, bool(is_fortran))
        return self.made


def _dtype(text: Any = None, *flags: Any) -> Dtype:
    return Dtype(None if text in ("O", "O8", "O4", "|O") else plain_dtype(_text(text)))


def _reconstruct(kind: Any = None, *_: Any) -> Unfilled:
    if not isinstance(kind, Name) or kind.full != "numpy.ndarray":
        raise ValueError("an array of a kind of its own")
    return Unfilled()


def _scalar(dtype: Any = None, raw: Any = None) -> Any:
    if not isinstance(dtype, Dtype) or dtype.plain is None:
        raise ValueError("a number without a dtype")
    return scalar_of(_raw(raw), dtype.plain)


def _from_buffer(raw: Any = None, dtype: Any = None, shape: Any = None, order: Any = "C") -> Any:
    if not isinstance(dtype, Dtype) or dtype.plain is None:
        raise ValueError("an array without a dtype")
    return array_of(_raw(raw), dtype.plain, shape, order == "F")


def _encode(text: Any = None, encoding: Any = None) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError(f"text in the encoding {printable(repr(encoding), 40)}, not latin1")
    return text.encode("latin1")


def _bytes(*parts: Any) -> bytes:
    if parts and not (len(parts) == 1 and isinstance(parts[0], (bytes, bytearray))):
        raise ValueError("bytes of something that is not bytes")
    return bytes(*parts)


def _ordered(*parts: Any) -> dict[Any, Any]:
    items = parts[0] if len(parts) == 1 else []
    is_pairs = isinstance(items, list) and all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in items)
    if len(parts) > 1 or not is_pairs or not all(isinstance(name, (str, int, bytes)) for name, _ in items):
        raise ValueError("an OrderedDict of something that is not pairs")
    return dict(items)


def _raw(value: Any) -> Any:
    """Take bytes that Python 2 wrote, which are text here."""
    return value.encode("latin1") if isinstance(value, str) else value


def _text(value: Any) -> Any:
    return value.decode("latin1") if isinstance(value, bytes) else value


_CALLS: dict[str, Callable[..., Any] | None] = {
    **{f"numpy.{core}.multiarray._reconstruct": _reconstruct for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
    "numpy.ndarray": None,
    "numpy.dtype": _dtype,
    "_codecs.encode": _encode,
    **{f"{module}.{kind}": _bytes for module in ("__builtin__", "builtins") for kind in ("bytes", "bytearray")},
    "collections.OrderedDict": _ordered,
}
NAMES = {full: Name(full, call) for full, call in _CALLS.items()}
"""All that a pickle may import."""

HARMLESS = (
    *(
        "datetime.",
        "decimal.",
        "uuid.",
        "pathlib.",
        "collections.",
        "copy_reg._reconstructor",
        "copyreg._reconstructor",
    ),
    *(
        f"{module}.{kind}"
        for module in ("__builtin__", "builtins")
        for kind in ("set", "frozenset", "complex", "object")
    ),
    *("numpy.int", "numpy.uint", "numpy.float", "numpy.complex", "numpy.bool", "numpy.str_", "numpy.bytes_"),
    *("numpy.ma.core._mareconstruct", "numpy.matrix", "pandas.core.", "torch._utils._rebuild", "torch.FloatStorage"),
)
"""How names begin that the pickles of sound data import as well, and that are not read here."""
