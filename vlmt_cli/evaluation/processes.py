"""The processes that a model runs in: one per GPU, started here, by torchrun or by SLURM."""

import contextlib
import functools
import importlib
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from vlmt_cli.base.errors import DataError, LeakError, UsageError, VlmtError
from vlmt_cli.base.processes import (
    by_torchrun,
    end_with_parent,
    fork_server,
    ignore_signals,
    keep_shared,
    started,
    started_from_outside,
    started_here,
)
from vlmt_cli.base.words import count, too_few_gpus
from vlmt_cli.tasks.process import Process

Result = TypeVar("Result")

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # else each process says that it is there
logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # else it says whom it ends


@dataclass(frozen=True)
class Devices:
    """What a run computes on.

    Attributes:
        kind: ``cpu`` or ``cuda``.
        processes: on this machine, one a GPU.
        nodes: machines; more than one are started by torchrun or SLURM.
    """

    kind: str = "cpu"
    processes: int = 1
    nodes: int = 1


def check_devices(devices: Devices) -> None:
    """Raise a UsageError where there are fewer GPUs than asked for, or not as many processes were started."""
    if devices.kind == "cuda" and (available := torch.cuda.device_count()) < devices.processes:
        todo = f"give --gpus {available}" if available else "give --device cpu, and --processes for --gpus"
        raise UsageError(too_few_gpus(devices.processes, available), todo=todo)
    if not started_from_outside():
        if devices.nodes > 1:
            todo = "start the command with torchrun or srun on each of them, or give --launcher slurm"
            raise UsageError(f"--nodes {devices.nodes}", todo=todo)
        return
    if started() != devices.processes * devices.nodes:
        option = "--gpus" if devices.kind == "cuda" else "--processes"
        asked = f"{option} {devices.processes} on {count(devices.nodes, 'node')}"
        todo = f"give {option} the processes of a node, and --nodes the number of nodes"
        raise UsageError(f"{started()} processes were started, and {asked} asks for another number", todo=todo)


def make_fabric(precision: str, devices: Devices) -> Fabric:
    """Make what deals with devices, precision (a recipe's ``training.precision``) and processes."""
    outside = started_from_outside()
    if outside and not by_torchrun():
        os.environ.update(_ranks_of_srun())
    strategy: Any = "auto"
    if devices.processes * devices.nodes > 1:
        strategy = DDPStrategy(start_method="popen" if outside else _beginning(), find_unused_parameters=True)
    return Fabric(
        accelerator=devices.kind,
        devices=devices.processes,
        num_nodes=devices.nodes,
        strategy=strategy,
        precision=precision_of(precision, devices.kind),
        # Named, as Fabric would take every process in an allocation of SLURM for one of several.
        plugins=[TorchElasticEnvironment() if outside else LightningEnvironment()],
    )


def _beginning() -> Literal["spawn", "forkserver"]:
    """Say how the processes of a run are started: as forks of a server, which share what they import.

    That takes seconds, and a quarter of a gigabyte. A process that has asked a GPU anything cannot be forked; the
    server is another one, and asks none.
    """
    # Wrapping a model for several processes needs the compiler, and Arrow looks for pandas with its first array.
    fork_server("vlmt_cli.evaluation.evaluate", "torch._dynamo", "pandas")
    return "forkserver"


def precision_of(choice: str, kind: str) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
    """Return what Fabric calls a recipe's ``training.precision`` on a kind of device.

    ``auto`` is bf16 on GPUs that compute in it. Older ones (V100, the paper's, T4, RTX 20) only emulate it, slowly, and
    get fp16 with a loss scaler.
    """
    if choice == "auto":
        if kind != "cuda":
            return "32-true"
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    names: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
    return names[choice]  # type: ignore[no-any-return]


def _ranks_of_srun() -> dict[str, str]:
    """Say in torchrun's words which of the processes of srun this is, and where they meet."""
    job, step = (int(os.environ.get(f"SLURM_{name}_ID") or 0) for name in ("JOB", "STEP"))
    nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_JOB_NODELIST") or "localhost"
    return {
        "RANK": os.environ["SLURM_PROCID"],
        "LOCAL_RANK": os.environ["SLURM_LOCALID"],
        "GROUP_RANK": os.environ.get("SLURM_NODEID", "0"),
        "WORLD_SIZE": str(started()),
        "MASTER_ADDR": os.environ.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(nodes),
        # The same in each of them, and another in each step.
        "MASTER_PORT": os.environ.get("MASTER_PORT") or str(15_000 + (16 * job + step) % 16_000),
    }


def in_processes(names: Sequence[str], work: Callable[[Process], Result]) -> Result | None:
    """Run some work in several processes, each of which does its share.

    Args:
        names: what each process computes on: ``cpu`` or ``cuda:0``, ``cuda:1``, ...
        work: called in each process with what it is among the others; it travels there.

    Returns:
        The result of the first process; None in the others that torchrun or srun started.

    Raises:
        UsageError: torchrun or srun started another number of processes.
        VlmtError: what the first process that failed raised, or how it died; the others are ended.
    """
    kind = names[0].partition(":")[0]
    if started_from_outside():
        here = started_here()
        if len(names) != here:
            option = "--gpus" if kind == "cuda" else "--processes"
            what = f"{here} processes were started on this machine, and the options ask for {len(names)}"
            raise UsageError(what, todo=f"give {option} {here}")
        fabric = make_fabric("32", Devices(kind, here, started() // here))
        fabric.launch()
        result = work(_process_of(fabric))
        return result if fabric.global_rank == 0 else None
    launch: Any = make_fabric("32", Devices(kind, len(names))).launch
    others = set(multiprocessing.active_children())
    try:
        returned: Result = launch(functools.partial(_in_child, work=work)).value
        return returned
    except (ProcessExitedException, ProcessRaisedException) as error:
        raise in_its_words(error, None, "run it again; --debug shows all of it") from error
    finally:
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()


class _Returned:
    """What a process returns; Fabric would go through a dataclass, and refuses a frozen one."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _in_child(fabric: Fabric, work: Callable[[Process], Any]) -> _Returned:
    """Work in a process that leaves Ctrl-C to its parent, and ends with it."""
    keep_shared()
    ignore_signals(signal.SIGINT)
    end_with_parent()
    return _Returned(work(_process_of(fabric)))


def _process_of(fabric: Fabric) -> Process:
    return Process(fabric.device, fabric.global_rank, fabric.world_size)


def in_its_words(error: Exception, where: object, todo: str) -> VlmtError:
    """Rebuild a VlmtError from the text of a child process's traceback; ``where`` and ``todo`` are for any other."""
    last = str(error).strip().splitlines()[-1]
    name, _, words = last.partition(": ")
    raised = _class_of(name)
    for kind in (UsageError, DataError, LeakError, VlmtError):
        if issubclass(raised, kind):
            return kind(words)
    return VlmtError(f"a process of the run died ({last})", where=where, todo=todo)


def _class_of(name: str) -> type:
    """Return one of vlmt's classes by its full name, which this process may not have imported; else ``object``."""
    module, _, own = name.rpartition(".")
    found = None
    if module.startswith("vlmt_cli."):
        with contextlib.suppress(ImportError):
            found = getattr(importlib.import_module(module), own, None)
    return found if isinstance(found, type) else object
