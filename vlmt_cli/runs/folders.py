"""Where runs are, by one rule for all commands; and whether a checkpoint that is named exists.

All runs are in ``DATA/runs`` where ``--data`` or ``VLMT_DATA`` names a data folder, and in ``runs`` of the working
folder beside the default data folder, ``data``. Nothing heavy is imported here: a wrong path is an error at once.
"""

import contextlib
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vlmt_cli.base.documents import read_json
from vlmt_cli.base.errors import DataError, UsageError, VlmtError
from vlmt_cli.base.processes import is_first

if TYPE_CHECKING:
    from vlmt_cli.runs.recipe import Recipe

DATA = Path("data")
"""The data folder where none is named."""
RUNS = "runs"
RELEASED = "released-"
"""The beginning of the names of runs that ``vlmt convert`` makes of other trunks' released weights."""
WEIGHTS, CONFIG, LABELS, TOKENIZER = "model.safetensors", "config.json", "labels.json", "tokenizer.json"
LINEAGE, UNREAD, CARD = "lineage.json", "unread.safetensors", "README.md"
STATE = "state.pt"
"""Files of a run folder."""
IN_USE = "wait until it has ended, or name another folder with --run"
"""What to do where another process trains."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def runs_folder(data: Path) -> Path:
    """Return the folder of all runs on some data."""
    return Path(RUNS) if data == DATA else data / RUNS


def data_option(data: Path) -> str:
    """Return what the commands of an advice take to look into a data folder: nothing where it is the default."""
    return "" if data == DATA else f" --data {shlex.quote(str(data))}"


def data_of(runs: Sequence[Path], data: Path) -> Path:
    """Return the data folder of some runs: ``demo`` of ``demo/runs/all-tasks``, where none is named and none is there.

    Args:
        runs: their folders.
        data: what the command was given, or the default.
    """
    folders = {run.parent.parent for run in runs if run.parent.name == RUNS}
    return folders.pop() if data == DATA and not data.exists() and len(folders) == 1 else data


def run_folders(folder: Path) -> list[Path]:
    """Return the runs in a folder, and then those in its sweeps; the folder of a run's best weights is part of it."""
    from vlmt_cli.runs.best import BEST
    from vlmt_cli.runs.recipe import RECIPE

    runs = {path.parent for pattern in ("*", "*/*") for path in folder.glob(f"{pattern}/{RECIPE}")}
    kept = (run for run in runs if run.name != BEST or run.parent not in runs)
    return sorted(kept, key=lambda run: (len(run.parts), run))


def recover(run: Path) -> None:
    """Bring a run back that a save took aside, and was killed before it put the new one there; unless it goes on."""
    from vlmt_cli.base.files import is_left_aside

    if is_left_aside(run):
        with contextlib.suppress(VlmtError, OSError):
            settle(run)


def find_run(name: str | Path, data: Path) -> str:
    """Return the path of a run, or of a file among runs.

    A path that exists is taken as it is. Else ``runs/NAME`` and ``NAME`` are looked for in the folder of all runs; what
    is not there either comes back as it was given.
    """
    parts = Path(name).parts
    within = Path(*parts[1:]) if parts[:1] == (RUNS,) else Path(name)
    for run in [Path(name), runs_folder(data) / within] if parts else []:
        recover(run)
    if not Path(name).exists() and parts and (runs_folder(data) / within).exists():
        return str(runs_folder(data) / within)
    return str(name)


def settle(run: Path) -> None:
    """Restore a run whose process was killed in the middle of a save.

    Raises:
        VlmtError: another process trains there.
    """
    from vlmt_cli.base.claims import claimed
    from vlmt_cli.base.files import put_back

    if is_first() and run.parent.is_dir():
        with claimed(run, IN_USE):
            put_back(run)


def start_of(recipe: "Recipe", run: Path, data: Path | None = None) -> str | None:
    """Say which checkpoint a run begins with: a path, another run, a hub id, or None for initial weights.

    ``auto`` passes a run ``pretrain`` of another trunk over.

    Args:
        recipe: every choice.
        run: its folder; other runs are looked for beside it.
        data: the data folder, among whose runs they are looked for next; None for nowhere else.

    Raises:
        UsageError: a run that the recipe names is not there.
    """
    from vlmt_cli.datasets.table import TASKS

    if recipe.start is None:
        return None
    group = TASKS[recipe.tasks[0]].group if recipe.tasks[0] in TASKS else ""
    folders = dict.fromkeys([run.parent, *([runs_folder(data)] if data else [])])
    trunk = recipe.model.trunk
    for name in pretraining_runs(trunk) if recipe.start == "auto" else (recipe.start, f"{recipe.start}-{group}"):
        for folder in folders:
            beside = Path(os.path.normpath(folder / name))  # ../pretrain, in a sweep whose folder is not made yet
            if (beside / CONFIG).exists() and (recipe.start != "auto" or trunk in ("auto", trunk_of(beside))):
                return str(beside)
    if recipe.start == "auto":
        return None
    start = find_run(recipe.start, data) if data else recipe.start
    if not Path(start).exists() and not is_hub_id(start):
        todo = f"train it first (vlmt train --preset {recipe.start}), or give --set start=CHECKPOINT"
        if recipe.start.startswith(RELEASED):
            todo = "make it of the released weights with vlmt convert, or give --set start=CHECKPOINT"
        raise UsageError(f"the run {recipe.start!r} to begin with is not there", where=run.parent, todo=todo)
    return start


def pretraining_runs(trunk: str) -> tuple[str, ...]:
    """Return the names of the runs that ``start: auto`` means for ``model.trunk``, the nearest first."""
    return ("pretrain",) if trunk == "auto" else (f"pretrain-{trunk}", "pretrain")


def trunk_of(run: Path) -> str:
    """Return which trunk the model of a run has; configs of earlier versions name none and are ViLBERT's.

    Raises:
        DataError: its config is missing or damaged.
    """
    try:
        config = read_json(run / CONFIG)
    except FileNotFoundError as error:
        raise DataError("is missing", where=run / CONFIG) from error
    trunk = config.get("trunk") if isinstance(config, dict) else None
    return str(trunk.get("kind", "vilbert")) if isinstance(trunk, dict) else "vilbert"


_WEIGHTS = (".pt", ".bin", ".tar", ".safetensors")


def is_hub_id(name: str) -> bool:
    """Tell whether a name can be that of a repository, ``owner/name``, rather than of a path here."""
    path = Path(name)
    is_path = path.parts[:1] == (RUNS,) or path.suffix in _WEIGHTS or path.parent.is_dir()
    return bool(_HUB_ID.fullmatch(name)) and not is_path


def check_checkpoint(source: str | Path, data: Path | None = None, file: str = "a .pt that vlmt convert wrote") -> None:
    """Check that a checkpoint exists, without reading it.

    Args:
        source: a run folder, a file or a hub id.
        data: the data folder, of whose runs the error names one; None names none.
        file: what files it may be, in words.

    Raises:
        UsageError: there is no such run folder or file, and it cannot be a hub id.
        DataError: the folder holds no checkpoint.
    """
    path = Path(source)
    recover(path)
    if not path.exists() and not is_hub_id(str(source)):
        runs = sorted(runs_folder(data).glob(f"*/{CONFIG}"), key=lambda path: path.stat().st_mtime) if data else []
        example = f" such as {runs[-1].parent}" if runs else ""
        todo = f"give a run folder{example}, {file}, or a hub id (owner/name)"
        raise UsageError("there is no such checkpoint", where=source, todo=todo)
    if path.is_dir() and not (path / CONFIG).is_file():
        raise DataError("holds no checkpoint", where=path, todo="name a folder that vlmt train or vlmt convert made")
