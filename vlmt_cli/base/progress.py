"""How long work tells of its progress."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Takes the name of the current item, or an empty one, how many are done, and how many there are."""
