"""The marks behind a score, one rule for terminals, pages, cards and pictures."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vlmt_cli.evaluation.bootstrap import Estimate, coverage_explained

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


def marks_explained(tasks: Iterable["TaskScore"], intervals: bool = True) -> str:
    """Say what the marks behind some scores mean; or that training saw none of their images, where that is known; and
    what intervals over few images cover, where ``intervals`` are shown."""
    listed = list(tasks)
    marks = "".join(map(mark_of, listed))
    said = [f"{mark} {meaning}" for mark, meaning in MEANING.items() if mark in marks]
    if listed and all(task.contamination and not is_leaked(task) and not task.unknown_stages for task in listed):
        said.append("Training saw none of these images.")
    said.append(coverage_explained(count for task in listed for count in images_of(task)) if intervals else "")
    return " ".join(filter(None, said))


def images_of(task: "TaskScore") -> list[int]:
    """Say over how many images each interval of a task's score is."""
    shown: list[object] = [task.score, *task.extra.values()]
    if is_leaked(task) and task.contamination:
        shown += [task.contamination.seen, task.contamination.unseen]
    return [estimate.groups for estimate in shown if isinstance(estimate, Estimate)]
