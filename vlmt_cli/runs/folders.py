"""Where runs are, by one rule for all commands; and whether a checkpoint that is named exists.

All runs are in ``DATA/runs`` where ``--data`` or ``VLMT_DATA`` names a data folder, and in ``runs`` of the working
folder beside the default data folder, ``data``. Nothing heavy is imported here: a wrong path is an error at once.
"""

import re
from pathlib import Path

from vlmt_cli.base.errors import DataError, UsageError

DATA = Path("data")
"""The data folder where none is named."""
RUNS = "runs"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def runs_folder(data: Path) -> Path:
    """Return the folder of all runs on some data."""
    return Path(RUNS) if data == DATA else data / RUNS


def find_run(name: str | Path, data: Path) -> str:
    """Return the path of a run, or of a file among runs.

    A path that exists is taken as it is. Else ``runs/NAME`` and ``NAME`` are looked for in the folder of all runs; what
    is not there either comes back as it was given.
    """
    parts = Path(name).parts
    within = Path(*parts[1:]) if parts[:1] == (RUNS,) else Path(name)
    if not Path(name).exists() and parts and (runs_folder(data) / within).exists():
        return str(runs_folder(data) / within)
    return str(name)


def is_hub_id(name: str) -> bool:
    """Tell whether a name can be that of a repository, ``owner/name``, rather than of a path here."""
    path = Path(name)
    is_path = path.parts[:1] == (RUNS,) or path.suffix in (".pt", ".bin") or path.parent.is_dir()
    return bool(_HUB_ID.fullmatch(name)) and not is_path


def check_checkpoint(source: str | Path) -> None:
    """Look whether a checkpoint is there, without reading it.

    Raises:
        UsageError: there is no such run folder or file, and it cannot be a hub id.
        DataError: the folder holds no checkpoint.
    """
    path = Path(source)
    if not path.exists() and not is_hub_id(str(source)):
        todo = "give a run folder, a .pt that vlmt convert wrote, or a hub id (owner/name)"
        raise UsageError("there is no such checkpoint", where=source, todo=todo)
    if path.is_dir() and not (path / "config.json").is_file():
        raise DataError("holds no checkpoint", where=path, todo="name a folder that vlmt train or vlmt convert made")
