"""``scores.json``: a model's scores, with all that checking them needs."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt, PositiveInt, model_validator

from vlmt_cli.base.documents import read_json
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import write_text
from vlmt_cli.base.schema import parse
from vlmt_cli.datasets.table import GROUPS, TASKS, TWELVE
from vlmt_cli.evaluation.bootstrap import Estimate
from vlmt_cli.evaluation.contamination import Contamination, Control
from vlmt_cli.paper import table
from vlmt_cli.runs.best import BestOrLast
from vlmt_cli.runs.trained import Trained

SCORES_FILE = "scores.json"

_TABLE_2 = [name for name in next(iter(table("table2_results"))) if name in TASKS]
COLUMNS = {name: TASKS[name].short for name in dict.fromkeys([*_TABLE_2, *TASKS])}
"""The columns of table 2 in its order, and what other tasks add."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Shortlist(_Model):
    """How retrieval was scored where the model did not score all pairs of a caption and an image.

    Attributes:
        k: images for each caption, and captions for each image, that the model scored.
        pairs, scored: of all pairs, and of those that the model scored: the shortlist, what the loss is measured on,
            and the first thousand of COCO's 5,000 images.
        fitted: validation pairs that the cheap score of all pairs was fitted on.
        captions, images: of the sample, chosen at random, of which all pairs were scored.
        loss: by metric, the sample's by all pairs less its by the shortlist; negative where the shortlist flatters.
    """

    k: PositiveInt
    pairs: PositiveInt
    scored: PositiveInt
    fitted: PositiveInt
    captions: PositiveInt
    images: PositiveInt
    loss: dict[str, FiniteFloat]


class TaskScore(_Model):
    """One task's score.

    Attributes:
        metric: what it is; a share, from 0 to 1.
        split: what it was measured on: ``test``, ``testA+testB``, ``testdev``.
        score: the mean of the examples' scores, with its interval and their number.
        extra: further metrics by name; plain numbers, such as a median rank, are not shares.
        contamination: the score on images that training saw, and on the others; None where its images are unknown.
        control: what a model that saw none of the images scores on the same examples; None where none was given.
        shortlist: how a score of retrieval was made where not all pairs were scored; else None.
        unknown_stages: the trainings behind the model whose images are unknown: they may have seen any.
    """

    metric: str
    split: str
    score: Estimate
    extra: dict[str, Estimate | FiniteFloat] = {}
    contamination: Contamination | None = None
    control: Control | None = None
    shortlist: Shortlist | None = None
    unknown_stages: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _are_shares(self) -> "TaskScore":
        for name, share in {self.metric: self.score, **self.extra}.items():
            if isinstance(share, Estimate) and not 0 <= share.low <= share.high <= 1:
                raise ValueError(f"{name} has the interval {share.low} to {share.high}, which is not within 0 and 1")
            if isinstance(share, Estimate) and not 0 <= share.value <= 1:
                raise ValueError(f"{name} is {share.value}, which is not from 0 to 1")
        return self


class Scores(_Model):
    """What one model scored.

    Attributes:
        format: of this file.
        model: the run folder, file or hub id.
        weights: of a run, whether its best were scored or its last; None of a model that has only one kind.
        tasks: by name.
        groups: the mean of each task group that is complete, as tables 6 and 10 have it; of G2 over Recall@1.
        average: the mean of the twelve tasks (table 2); None unless all have scores.
        split_hash: of the clean split that the model was last trained on; None when it was the full one, or unknown.
        recipe_hash: of the recipe that made the model; None when unknown.
        weights_hash: SHA-256 of the weights; None in older files.
        trained: of a run, after which iteration the weights were taken, and how far it was; None of others, and in
            older files.
        leaks_allowed: whether test images that training saw were let in.
        resamples, resampled, seed: of the intervals: how often, what, and with which seed.
        versions: of ``vlmt`` and ``torch``.
    """

    format: Literal["vlmt scores 1", "vlmt scores 2", "vlmt scores 3"] = "vlmt scores 3"
    model: str
    weights: BestOrLast | None = None
    tasks: dict[str, TaskScore]
    groups: dict[str, float]
    average: float | None
    split_hash: str | None
    recipe_hash: str | None
    weights_hash: str | None = None
    trained: Trained | None = None
    leaks_allowed: bool
    resamples: PositiveInt
    resampled: Literal["image", "example"]
    seed: NonNegativeInt
    versions: dict[str, str]

    @model_validator(mode="after")
    def _add_up(self) -> "Scores":
        if unknown := self.tasks.keys() - TASKS.keys():
            raise ValueError(f"{', '.join(sorted(unknown))} is not a task")
        groups, average = averages(values_of(self.tasks))
        stated = self.groups | {"average": self.average}
        right = groups | {"average": average}
        if stated.keys() != right.keys() or any(not _near(stated[name], right[name]) for name in right):
            raise ValueError("the averages are not those of the tasks")
        return self


def make_scores(
    model: str,
    tasks: Mapping[str, TaskScore],
    *,
    weights: BestOrLast | None = None,
    split_hash: str | None,
    recipe_hash: str | None,
    weights_hash: str | None = None,
    trained: Trained | None = None,
    leaks_allowed: bool,
    resamples: int,
    resampled: Literal["image", "example"],
    seed: int,
) -> Scores:
    """Put tasks' scores together with their averages and the versions that run; see ``Scores``."""
    groups, average = averages(values_of(tasks))
    return Scores(
        model=model,
        weights=weights,
        tasks={name: tasks[name] for name in COLUMNS if name in tasks},
        groups=groups,
        average=average,
        split_hash=split_hash,
        recipe_hash=recipe_hash,
        weights_hash=weights_hash,
        trained=trained,
        leaks_allowed=leaks_allowed,
        resamples=resamples,
        resampled=resampled,
        seed=seed,
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    """Return the versions of what scored; torch is not needed to score another model's predictions."""
    versions = {"vlmt": version("vlmt")}
    with suppress(PackageNotFoundError):
        versions["torch"] = version("torch")
    return versions


def averages(values: Mapping[str, float]) -> tuple[dict[str, float], float | None]:
    """Average tasks' scores as the paper does, which prints the mean of all cut off, not rounded: 69.089 as 69.08.

    Returns:
        The mean of each group whose tasks are all there, and of all twelve; None where one is lacking.
    """
    complete = {group: names for group, names in GROUPS.items() if values.keys() >= set(names)}
    groups = {group: _mean(values[name] for name in names) for group, names in complete.items()}
    return groups, _mean(values[name] for name in TWELVE) if values.keys() >= set(TWELVE) else None


def write_scores(path: Path, scores: Scores) -> None:
    """Write ``scores.json``, whole or not at all."""
    write_text(path, scores.model_dump_json(indent=2) + "\n")


def read_scores(path: Path) -> Scores:
    """Read ``scores.json``, or the one in a run folder.

    Raises:
        DataError: there is none, or it is damaged.
    """
    path = path / SCORES_FILE if path.is_dir() else path
    again = "make it again with vlmt evaluate"
    try:
        values = read_json(path, again)
    except FileNotFoundError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path, todo="make it with vlmt evaluate") from error
    return parse(Scores, values, path, todo=again)


def values_of(tasks: Mapping[str, TaskScore]) -> dict[str, float]:
    """Return each task's score, from 0 to 1."""
    return {name: task.score.value for name, task in tasks.items()}


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _near(first: float | None, second: float | None) -> bool:
    return first == second if first is None or second is None else abs(first - second) < 1e-9
