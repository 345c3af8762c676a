"""Files in parts of whole records, through one buffer that is filled again and again.

What is read into new memory each time costs the kernel as much as reading it: it clears that memory before.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO

Cut = tuple[int, int]
"""Where a part ends, and where the next one begins."""

_PART = 1 << 20


def parts_of(
    file: BinaryIO, before: bytes, cut: Callable[[bytearray, int, int], Cut | None]
) -> Iterator[tuple[bytearray, int, int, bool]]:
    """Read a file in parts of about 1 MB, or of as much as there is before a place to cut.

    Args:
        file: what to read.
        before: what was read of it already.
        cut: finds the last place to cut in the buffer, between two places of it; None where there is none.

    Yields:
        The buffer; where a part begins and ends in it; whether it is the last one, which may be empty. The byte before
        a part may be written over, and the byte after it, too, unless the part is the last one.
    """
    memory = bytearray(1) + before + bytes(2 * _PART)
    start, end = 1, 1 + len(before)
    while True:
        wanted = max(_PART, end - start)  # twice as much each time that there was no place to cut
        if end + wanted > len(memory):
            memory[1 : 1 + end - start] = memory[start:end]
            start, end = 1, 1 + end - start
            memory += bytes(max(0, end + wanted - len(memory)))
        with memoryview(memory) as view, view[end : end + wanted] as free:
            count = file.readinto(free)  # type: ignore[attr-defined]
        if not count:
            break
        end += count
        if borders := cut(memory, start, end):
            yield memory, start, borders[0], False
            start = borders[1]
    yield memory, start, end, True
