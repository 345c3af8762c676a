"""The type of progress callbacks."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Takes the name of the current item, or an empty one, how many are done, and how many there are."""
