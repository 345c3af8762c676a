"""The marks behind a score, one rule for terminals, pages, cards and pictures."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlmt_cli.evaluation.scores import TaskScore

LEAKED = "*"
"""Marks a score on images of which training saw some."""
UNKNOWN = "?"
"""Marks a score on images of which training may have seen some."""
VALIDATION = "†"
"""Marks a score on validation images, which does not compare with one on test images."""
MEANING = {
    LEAKED: "Training saw some of these images.",
    UNKNOWN: "Training may have seen some of these images: which it saw is not known.",
    VALIDATION: "On validation images, not on the test set.",
}


def is_leaked(task: "TaskScore") -> bool:
    """Whether training saw some of the images that the score is of."""
    return task.contamination is not None and task.contamination.seen is not None


def is_validation(split: str) -> bool:
    """Whether a score's ``split`` is a validation split, or a part of one (``val first 100``)."""
    return split.startswith(("val", "minval"))


def mark_of(task: "TaskScore") -> str:
    """Return the marks that stand behind a score: any of ``MEANING``, or nothing."""
    return LEAKED * is_leaked(task) + UNKNOWN * bool(task.unknown_stages) + VALIDATION * is_validation(task.split)


def marks_explained(tasks: Iterable["TaskScore"]) -> str:
    """Say what the marks behind some scores mean; or that training saw none of their images, where that is known."""
    listed = list(tasks)
    marks = "".join(map(mark_of, listed))
    said = [f"{mark} {meaning}" for mark, meaning in MEANING.items() if mark in marks]
    if listed and all(task.contamination and not is_leaked(task) and not task.unknown_stages for task in listed):
        said.append("Training saw none of these images.")
    return " ".join(said)
