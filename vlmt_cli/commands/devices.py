"""The devices of a command, from ``--device``, ``--gpus``, ``--processes``, ``--launcher`` and ``--sbatch``.

What can be said without torch is said first, as importing it takes seconds.
"""

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from vlmt_cli.base.collecting import importing
from vlmt_cli.base.errors import UsageError
from vlmt_cli.base.processes import started_from_outside
from vlmt_cli.base.words import too_few_gpus

if TYPE_CHECKING:
    from vlmt_cli.tasks.process import Process

Result = TypeVar("Result")

_AUTO = "auto takes a GPU where there is one."
DeviceKind = Annotated[str, typer.Option("--device", help=f"cpu or cuda; {_AUTO}")]
Device = Annotated[str, typer.Option("--device", help=f"cpu, cuda or cuda:1; {_AUTO}")]
Gpus = Annotated[int | None, typer.Option("--gpus", min=1, help="Number of GPUs (of each machine), a process each.")]
Processes = Annotated[int | None, typer.Option("--processes", min=1, help="Number of processes on the CPU.")]
Nodes = Annotated[
    int, typer.Option("--nodes", min=1, help="Machines: started by torchrun or srun, or by --launcher slurm.")
]


@dataclass(frozen=True)
class Computing:
    """The devices that the options request.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        gpus: how many, one process each; None for as ``device`` says.
        processes: how many on the CPU; None for one.
        launcher: as ``--launcher``: a cluster's machines have other GPUs than this one.
    """

    device: str = "auto"
    gpus: int | None = None
    processes: int | None = None
    launcher: str | None = None

    @property
    def asked_gpus(self) -> int:
        """How many GPUs are requested by name; 0 for ``auto`` and the CPU."""
        return self.gpus or int(self.device.startswith("cuda"))


def check_computing(asked: Computing, numbered: bool = True) -> None:
    """Check the requested devices, without torch.

    Args:
        asked: by the command line.
        numbered: whether one GPU can be named, ``cuda:1``.

    Raises:
        UsageError: there is no such device, or options exclude each other.
    """
    device, gpus, processes = asked.device, asked.gpus, asked.processes
    if not re.fullmatch(r"auto|(cpu|cuda)(:\d+)?" if numbered else "auto|cpu|cuda", device):
        todo = f"choose auto, cpu{', cuda or cuda:1' if numbered else ' or cuda'}"
        raise UsageError(f"there is no device {device!r}", todo=todo)
    if device.startswith("cpu") and gpus is not None:
        todo = f"give --processes {gpus} instead of --gpus {gpus}" if not numbered else "leave one of them out"
        raise UsageError(f"--gpus and --device {device} exclude each other", todo=todo)
    if ":" in device and gpus is not None:
        raise UsageError(f"--gpus and --device {device} exclude each other", todo="leave one of them out")
    if processes is not None and asked.asked_gpus:
        raise UsageError("--processes is for the CPU", todo="leave it out, and give --gpus alone")


def check_gpus(asked: Computing) -> None:
    """Raise a UsageError where GPUs are requested and this machine surely has none, without importing torch."""
    if asked.asked_gpus and asked.launcher != "slurm" and gpus_surely_missing():
        raise _too_few(asked, 0)


def gpus_surely_missing() -> bool:
    """Tell whether this machine has no device file of any GPU; asking torch would take seconds."""
    return sys.platform == "linux" and not any(
        next(Path("/dev").glob(name), None) for name in ("nvidia[0-9]*", "dxg", "kfd")
    )


def devices_of(asked: Computing, numbered: bool = True) -> list[str]:
    """Name what each process computes on: ``cpu``, ``cuda``, ``cuda:1``.

    Raises:
        UsageError: as ``check_computing``, or this machine has fewer GPUs than asked for, or ``--processes`` are where
            ``auto`` takes a GPU.
    """
    check_computing(asked, numbered)
    with importing():
        import torch

    elsewhere = asked.launcher == "slurm"  # of other machines' GPUs it is known that there are some
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(asked.device.partition(":")[2] or 0)
    if not elsewhere and (count < asked.asked_gpus or (asked.device.startswith("cuda") and index >= count)):
        raise _too_few(asked, count)
    if asked.gpus:
        return [f"cuda:{number}" for number in range(asked.gpus)]
    if asked.device != "auto":
        return [asked.device] * (asked.processes or 1)
    if count or elsewhere:
        if asked.processes is not None:
            raise UsageError("--processes is for the CPU", todo="give --device cpu with it, or --gpus instead")
        return ["cuda"]
    return ["cpu"] * (asked.processes or 1)


def on_each(names: Sequence[str], work: "Callable[[Process], Result]") -> "Result | None":
    """Run some work on each device, in a process each; alone, in this process.

    Args:
        names: of ``devices_of``.
        work: called in each process with what it is among the others; it travels there.

    Returns:
        What the first process returns; None in the others that torchrun or srun started.

    Raises:
        UsageError, VlmtError: as ``evaluation.processes.in_processes``.
    """
    if len(names) == 1 and not started_from_outside():
        import torch

        from vlmt_cli.tasks.process import Process

        return work(Process(torch.device(names[0])))
    from vlmt_cli.evaluation.processes import in_processes

    return in_processes(names, work)


def kind_of(devices: Sequence[str]) -> str:
    """Return ``cpu`` or ``cuda``, which all devices of a run are."""
    return devices[0].partition(":")[0]


def _too_few(asked: Computing, count: int) -> UsageError:
    if asked.gpus:
        todo = f"give --gpus {count}" if count else "leave it out to compute on the CPU"
        return UsageError(too_few_gpus(asked.gpus, count), where=f"--gpus {asked.gpus}", todo=todo)
    todo = "name another" if count else "give --device cpu"
    return UsageError("this machine has no such GPU", where=f"--device {asked.device}", todo=todo)
