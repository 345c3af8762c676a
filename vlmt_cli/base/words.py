"""Counts, lists and quotations in messages."""

import re
from collections.abc import Sequence

# As repr writes them; an apostrophe within a word begins none.
_LONGEST = 2_000
_QUOTATION = re.compile(r"""(?<!\w)(['"])((?:(?!\1)[^\\]|\\.)*+)(\1|\Z)""", re.DOTALL)


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number and its noun: ``1 file``, ``1,200 files``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def be(number: int) -> str:
    """Return ``is`` or ``are``."""
    return "is" if number == 1 else "are"


def listed(words: Sequence[str]) -> str:
    """Return ``a``, ``a and b``, or ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def escaped(text: str) -> str:
    """Return a text on one line, in which nothing steers a terminal: control characters are written as escapes."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def with_short_quotations(text: str, most: int = 80) -> str:
    """Shorten what stands between quotation marks to ``most`` characters, and the whole to 2,000."""
    is_cut = len(text) > _LONGEST

    def shorter(match: re.Match[str]) -> str:
        mark, content, end = match.groups()
        return f"{mark}{printable(content, most)}{mark}" if end or is_cut else match[0]

    return _QUOTATION.sub(shorter, text[:_LONGEST]) + "..." * is_cut


def quoted(text: object) -> str:
    """Return ``printable`` between quotation marks."""
    return f"'{printable(text)}'"


def printable(text: object, most: int = 80) -> str:
    """Quote what a file says: at most ``most`` characters of it, control characters as escapes."""
    quoted = escaped(str(text)[: most + 1])
    return quoted if len(quoted) <= most else f"{quoted[: most - 3]}..."


def too_few_gpus(asked: int, count: int) -> str:
    """Say that a machine has fewer GPUs than requested: ``8 GPUs were requested, and this machine has 2``."""
    return f"{'a GPU was' if asked == 1 else f'{asked} GPUs were'} requested, and this machine has {count or 'none'}"


def duration(seconds: float) -> str:
    """Say how long something takes, in the unit that fits."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def size(count: float) -> str:
    """Say how much some bytes are, in the unit that fits."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
