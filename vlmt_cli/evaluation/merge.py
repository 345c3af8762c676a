"""Scores of some tasks join those of others in ``scores.json``, if both are of one checkpoint and protocol."""

from collections.abc import Collection, Mapping
from pathlib import Path

from vlmt_cli.base.errors import UsageError
from vlmt_cli.evaluation.scores import SCORES_FILE, Scores, make_scores, read_scores

_PROTOCOL = {
    "weights": "weights",
    "split_hash": "split hash",
    "recipe_hash": "recipe hash",
    "weights_hash": "weights with hash",
    "resamples": "resamples",
    "seed": "seed",
}
"""What scores of one file have in common, besides their model."""


def scores_to_keep(folder: Path, protocol: Mapping[str, object], tasks: Collection[str]) -> Scores | None:
    """Return the scores in a folder, where they have others than the tasks that are scored now; else None.

    Args:
        folder: where ``scores.json`` may be.
        protocol: what the new scores are measured with: the keys of ``_PROTOCOL``.
        tasks: those that are scored now.

    Raises:
        UsageError: the scores there are of another checkpoint or protocol.
        DataError: they are damaged.
    """
    if not (folder / SCORES_FILE).exists():
        return None
    before = read_scores(folder)
    if before.tasks.keys() <= set(tasks):
        return None
    for key, name in _PROTOCOL.items():
        if (old := getattr(before, key)) != protocol[key]:
            todo = "write these elsewhere with --to, or score all tasks again without --tasks"
            what = f"holds other tasks' scores, of {name} {old}, not {protocol[key]}"
            raise UsageError(what, where=folder / SCORES_FILE, todo=todo)
    return before


def merged(new: Scores, old: Scores) -> Scores:
    """Put the tasks of ``new`` into ``old``, which is of the same checkpoint and protocol."""
    values = new.model_dump(exclude={"format", "tasks", "groups", "average", "versions", "leaks_allowed"})
    return make_scores(tasks=old.tasks | new.tasks, leaks_allowed=new.leaks_allowed or old.leaks_allowed, **values)
