"""The best weights of a run, beside its last ones: ``<run>/best``.

The folder is a checkpoint of its own, with the run's recipe and ``validation.json``, which says when it was best. It is
written together with the run's checkpoint, so that both are of one moment, and only when it is another: however often
a model is validated, its weights are written no more often than the run is saved.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt

from vlmt_cli.base.documents import read_json
from vlmt_cli.base.schema import parse
from vlmt_cli.runs.metrics import METRICS

BEST = "best"
VALIDATION = "validation.json"
BEST_VERSION = 1
BestOrLast = Literal["best", "last"]


class Best(BaseModel):
    """When a run was best.

    Attributes:
        version: of ``validation.json``.
        iteration: after which its weights were taken.
        score: the mean of its tasks' validation scores; what the best is chosen by.
        tasks: each task's latest validation score at that iteration.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    version: PositiveInt = BEST_VERSION
    iteration: int
    score: float
    tasks: dict[str, float]


@dataclass(frozen=True)
class Weights:
    """Which of a run's weights are taken.

    Attributes:
        source: what to load: a run folder, the folder of its best weights, a file or a hub id.
        kind: whether they are its best or its last; None where the source has no others.
        best: when they were best; None of the last.
        has_best: whether the run has best weights.
    """

    source: str
    kind: BestOrLast | None = None
    best: Best | None = None
    has_best: bool = False

    def __str__(self) -> str:
        if self.best is not None:
            mean = "mean " if len(self.best.tasks) > 1 else ""
            return f"best weights, iteration {self.best.iteration:,}, {mean}validation score {self.best.score:.4f}"
        if self.kind == "last" and not self.has_best:
            return "last weights, as no validation of all tasks is saved"
        return "last weights" if self.kind == "last" else "the only weights"


def find_weights(source: str | Path, kind: BestOrLast = "best") -> Weights:
    """Say which weights of a source to load: the best where it has them, unless the last are requested.

    Args:
        source: a run folder, the folder ``best`` in one, a ``.pt`` or a hub id.
        kind: which are requested; a source that has only one kind ignores it.

    Raises:
        DataError: ``validation.json`` is damaged.
    """
    folder = Path(source)
    if (folder / VALIDATION).exists():
        return Weights(str(source), "best", read_best(folder), True)
    has_best = (folder / BEST / VALIDATION).exists()
    if has_best and kind == "best":
        return Weights(str(folder / BEST), "best", read_best(folder / BEST), True)
    return Weights(str(source), "last" if has_best or (folder / METRICS).exists() else None, None, has_best)


def read_best(folder: Path) -> Best | None:
    """Read when the weights in a run's folder ``best`` were taken; None where there are none.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / VALIDATION
    try:
        values = read_json(path, "take --weights last")
    except FileNotFoundError:
        return None
    return parse(Best, values, path)
