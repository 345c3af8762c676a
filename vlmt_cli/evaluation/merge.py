"""Scores of some tasks join those of others in ``scores.json``, if both are of one checkpoint and protocol."""

from collections.abc import Mapping
from pathlib import Path

from vlmt_cli.base.errors import UsageError
from vlmt_cli.evaluation.scores import SCORES_FILE, Scores, make_scores, read_scores

_PROTOCOL = {
    "weights": "weights",
    "split_hash": "split hash",
    "recipe_hash": "recipe hash",
    "weights_hash": "hash of its weights",
    "resamples": "resamples",
    "seed": "seed",
}
"""What scores of one file have in common, besides their model."""


def scores_to_keep(folder: Path, protocol: Mapping[str, object], splits: Mapping[str, str]) -> Scores | None:
    """Return the scores in a folder, where they have others than the tasks that are scored now; else None.

    Args:
        folder: where ``scores.json`` may be.
        protocol: what the new scores are measured with: the keys of ``_PROTOCOL``.
        splits: the tasks that are scored now, and the split of each.

    Raises:
        UsageError: the scores there are of another checkpoint or protocol.
        DataError: they are damaged.
    """
    if not (folder / SCORES_FILE).exists():
        return None
    before = read_scores(folder)
    check_splits(folder, before, splits, whole=False)
    if before.tasks.keys() <= splits.keys():
        return None
    for key, name in _PROTOCOL.items():
        if getattr(before, key) != protocol[key]:
            raise _refused(folder, f"holds other tasks' scores, with another {name}")
    return before


def check_splits(folder: Path, before: Scores, splits: Mapping[str, str], *, whole: bool = True) -> None:
    """Raise a UsageError where a task would replace its score on another split, or on another part of it.

    Args:
        folder: where the scores are.
        before: the scores there.
        splits: by task, as ``scores.json`` has them; without ``whole`` only their beginnings, before the part.
    """
    for task, split in splits.items():
        old = before.tasks[task].split if task in before.tasks else split
        if old != split and (whole or not old.startswith(split)):
            raise _refused(folder, f"has {task} scored on {old}, which {split} would replace")


def _refused(folder: Path, what: str) -> UsageError:
    todo = "write these elsewhere with --to, or score all tasks again without --tasks"
    return UsageError(what, where=folder / SCORES_FILE, todo=todo)


def merged(new: Scores, old: Scores) -> Scores:
    """Put the tasks of ``new`` into ``old``, which is of the same checkpoint and protocol."""
    values = new.model_dump(exclude={"format", "tasks", "groups", "average", "versions", "leaks_allowed"})
    return make_scores(tasks=old.tasks | new.tasks, leaks_allowed=new.leaks_allowed or old.leaks_allowed, **values)
