"""The models that MT-VGC compares, each of one checkpoint or of one a task, as the command line names them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlmt_cli.base.errors import UsageError
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.runs.folders import check_checkpoint, find_run, runs_folder

TASK_SPLITS = {"vqa": ("train", "val"), "refcoco": ("testA", "testB"), "refcoco+": ("testA", "testB")}
"""The three tasks, and the splits of each that are looked at, as far as they are there."""
NEEDED = tuple(TASK_SPLITS)
PER_TASK = "per-task"
"""The name of a model of one checkpoint a task, where none is given."""


@dataclass(frozen=True)
class NamedModel:
    """One that is measured.

    Attributes:
        name: short, for tables.
        checkpoints: of each task; the same of all three where one checkpoint does all.
    """

    name: str
    checkpoints: dict[str, str]

    @property
    def sources(self) -> list[str]:
        """Its distinct checkpoints."""
        return list(dict.fromkeys(self.checkpoints.values()))


def parse_models(texts: Sequence[str]) -> list[NamedModel]:
    """Read what ``--model`` names, in order.

    ==============  ===================================================================
    PATH            a model of one checkpoint, named by the end of its path
    NAME=PATH       the same under a name
    TASK=PATH       a task's checkpoint of the one model that such pieces make together
    NAME:TASK=PATH  the same under a name, so that there can be several
    ==============  ===================================================================

    A text that is a path in full is one, whatever signs are in it.

    Raises:
        UsageError: a task is none of the three, a model lacks one, or two are alike.
    """
    parsed = [_parse(text) for text in texts]
    shorts = [_short(source) for name, task, source in parsed if name is None and task is None]
    whole: dict[str, NamedModel] = {}
    pieces: dict[str, dict[str, str]] = {}
    order: list[str] = []
    for text, (name, task, source) in zip(texts, parsed, strict=True):
        if task is None:
            short = _short(source)
            name = name or (source if shorts.count(short) > 1 else short)
        else:
            name = name or PER_TASK
        if task in pieces.get(name, {}):
            todo = "name several models with NAME:TASK=PATH"
            raise UsageError(f"there are two checkpoints for {task}", where=f"--model {text}", todo=todo)
        if name in whole or (task is None and name in pieces):
            todo = "give each a name of its own: --model NAME=PATH"
            raise UsageError(f"there are two models {name}", where=f"--model {text}", todo=todo)
        order.append(name)
        if task is None:
            whole[name] = NamedModel(name, dict.fromkeys(NEEDED, source))
        else:
            pieces.setdefault(name, {})[task] = source
    for name, given in pieces.items():
        if lacking := [task for task in NEEDED if task not in given]:
            option = f"--model {'' if name == PER_TASK else name + ':'}{lacking[0]}=PATH"
            raise UsageError(f"the model of {', '.join(given)} lacks {' and '.join(lacking)}", todo=f"add {option}")
        whole[name] = NamedModel(name, {task: given[task] for task in NEEDED})
    return [whole[name] for name in dict.fromkeys(order)]


def _parse(text: str) -> tuple[str | None, str | None, str]:
    """Split a text into the name of the model, the task and the checkpoint."""
    head, equals, source = text.partition("=")
    if not equals or "/" in head or Path(text).exists():
        return None, None, text
    name, colon, task = head.rpartition(":")
    if not source or (colon and not name) or not head:
        raise UsageError("names no checkpoint", where=f"--model {text}", todo="write NAME=PATH or NAME:TASK=PATH")
    if not colon and head not in TASKS:
        return head, None, source
    if task not in NEEDED:
        raise UsageError(
            f"MT-VGC takes no {task}", where=f"--model {text}", todo=f"name {', '.join(NEEDED[:-1])} or {NEEDED[-1]}"
        )
    return name or None, task, source


def _short(source: str) -> str:
    path = Path(source)
    return path.stem if path.is_file() else path.name or path.resolve().name


def home(source: str, data: Path) -> Path:
    """Return the folder for what is found out about a checkpoint: its run's, one beside the file, or one among runs."""
    path = Path(source)
    if path.is_dir():
        return path
    return path.with_name(f"{path.stem}-vgc") if path.is_file() else runs_folder(data) / f"{path.name}-vgc"


def find_models(models: Sequence[NamedModel], data: Path) -> list[NamedModel]:
    """Say where the checkpoints of models are, before anything heavy is imported.

    Raises:
        UsageError: a checkpoint is not there.
        DataError: a folder holds none.
    """
    opened = []
    for model in models:
        places = {task: find_run(source, data) for task, source in model.checkpoints.items()}
        for path in dict.fromkeys(places.values()):
            check_checkpoint(path, data)
        opened.append(NamedModel(model.name, places))
    return opened
