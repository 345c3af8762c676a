"""Counts and lists in messages."""

from collections.abc import Sequence


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number and its noun: ``1 file``, ``1,200 files``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def be(number: int) -> str:
    """Return ``is`` or ``are``."""
    return "is" if number == 1 else "are"


def listed(words: Sequence[str]) -> str:
    """Return ``a``, ``a and b``, or ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
