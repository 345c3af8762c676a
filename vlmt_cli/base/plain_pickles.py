"""Pickles of nothing but lists, dicts, texts and numbers, which Python's own unpickler reads, many times as fast.

``pickle_machine`` reads every pickle of plain data, step by step in Python. Files of references are large and use few
of a pickle's instructions, so that a regular expression goes through all of them first. What it lets through cannot
import, call or build anything, has no key that takes long to hash, remembers no value under a number that its length
does not explain, and takes memory in proportion to its length. All else, and whatever the unpickler refuses, is the
machine's.
"""

import io
import pickle
import re
from functools import cache
from typing import Any, NoReturn

_LONGEST = 1 << 26
"""Bytes of a pickle, which takes up to twenty times as much memory."""
_SHORT = 255  # bytes of a text that the expression matches
_MOST_CONTAINERS = 2_500_000  # as the machine's
MISSING = object()


class _NoImports(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError("it imports")

    def persistent_load(self, name: Any) -> NoReturn:
        raise pickle.UnpicklingError("it refers to objects outside itself")


def read_plain(data: bytes) -> Any:
    """Read a pickle of lists, dicts, texts and numbers; ``MISSING`` where it may hold more, or is damaged."""
    if len(data) > _LONGEST:
        return MISSING
    instructions, long_text = _expressions(len(data).bit_length())
    at = end = 0
    while found := instructions.match(data, end):
        at = found.end()
        if data[at : at + 1] == pickle.STOP:
            break
        text = long_text.match(data, at)
        if text is None:
            return MISSING
        end = text.end() + int.from_bytes(text[2], "little")
        if end - text.end() <= _SHORT:
            return MISSING  # none that is so short comes here, but of pickles that want to take long
        if text[1] == pickle.BINUNICODE and b"\xed" in data[text.end() : end]:
            return MISSING
    if sum(map(data.count, (b"]", b"}", b"l", b"d"))) > _MOST_CONTAINERS:
        return MISSING
    try:
        # Buffered, as the unpickler asks an unbuffered file for every instruction.
        return _NoImports(io.BufferedReader(io.BytesIO(data[: at + 1])), encoding="latin1").load()
    except Exception:  # the machine says what is wrong
        return MISSING


@cache
def _expressions(bits: int) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Return what matches any number of instructions, and what matches the beginning of a long text.

    A pickle numbers the values that it remembers from 0, and the unpickler reserves 16 bytes for each number up to the
    highest. In protocol 0 each value takes four bytes or more.

    Args:
        bits: how many the pickle's length in bytes has; a value's number has no more.
    """
    highest = min((1 << bits) - 1, (1 << 24) - 1).to_bytes(3, "little")
    number = b"".join(rb"[\0-\x%02x]" % byte for byte in highest) + rb"\0"
    digits = min(len(str(1 << max(bits - 2, 0))), 7)
    escapes = rb"""\\(?:[\\'"abfnrtv]|x[0-9a-fA-F]{2})"""
    one_by_one = (
        rb"[]}(eusalNd\x88\x89\x94]",  # lists, dicts, marks, None, truths, MEMOIZE
        rb"[qhK].",
        rb"M..",
        rb"j...\0",
        rb"r" + number,
        rb"J....",
        rb"G.{8}",
        _texts(pickle.SHORT_BINSTRING, b"", b"."),
        _texts(pickle.BINUNICODE, b"\0\0\0", _NO_SURROGATES),
        _texts(pickle.SHORT_BINUNICODE, b"", _NO_SURROGATES),
        rb"\x8a(?:" + b"|".join(re.escape(bytes([n])) + b".{%d}" % n for n in range(10)) + rb")",
        # Protocol 0, a line each.
        rb"g\d{1,7}\n",
        rb"p\d{1,%d}\n" % digits,
        rb"S'[^'\\\n]*+(?:" + escapes + rb"[^'\\\n]*+)*+'\n",
        rb'S"[^"\\\n]*+(?:' + escapes + rb'[^"\\\n]*+)*+"\n',
        rb"V[^\\\n]*+(?:\\u(?![dD])[0-9a-fA-F]{4}[^\\\n]*+)*+\n",
        rb"I-?\d{1,18}\n",
        rb"L-?\d{1,18}L?\n",
        rb"F-?[\d.e+-]{1,30}\n",
        rb"\x80[\0-\x05]",
        rb"\x95.{8}",
    )
    # Possessive, so that nothing is remembered of millions of instructions.
    instructions = re.compile(rb"(?:" + b"|".join(one_by_one) + rb")*+", re.DOTALL)
    return instructions, re.compile(rb"([XT])(...\0)", re.DOTALL)


_NO_SURROGATES = rb"[^\xed]"
"""A byte that begins no half of a surrogate pair; it begins letters of Korean, too, which the machine then reads."""


def _texts(instruction: bytes, rest: bytes, byte: bytes) -> bytes:
    """Match a text of up to 255 bytes that says its length first; ``rest`` are the length's other bytes."""
    lengths = (re.escape(bytes([n]) + rest) + (byte + b"{%d}" % n if n else b"") for n in range(_SHORT + 1))
    return re.escape(instruction) + b"(?:" + b"|".join(lengths) + b")"
