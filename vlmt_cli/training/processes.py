"""The processes of a run: one per GPU, started here, by torchrun or by SLURM; and what interrupts them."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy

from vlmt_cli.base.errors import UsageError
from vlmt_cli.base.processes import by_torchrun, handling, send_to_children, started, started_from_outside
from vlmt_cli.base.words import too_few_gpus
from vlmt_cli.runs.recipe_sections import TrainingChoices

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # else each process says that it is there


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
        asked = f"{option} {devices.processes} on {devices.nodes} node{'s' if devices.nodes > 1 else ''}"
        todo = f"give {option} the processes of a node, and --nodes the number of nodes"
        raise UsageError(f"{started()} processes were started, and {asked} asks for another number", todo=todo)


def make_fabric(choices: TrainingChoices, devices: Devices) -> Fabric:
    """Make what deals with devices, precision and processes."""
    outside = started_from_outside()
    if outside and not by_torchrun():
        os.environ.update(_ranks_of_srun())
    strategy: Any = "auto"
    if devices.processes * devices.nodes > 1:
        strategy = DDPStrategy(start_method="popen" if outside else "spawn", find_unused_parameters=True)
    return Fabric(
        accelerator=devices.kind,
        devices=devices.processes,
        num_nodes=devices.nodes,
        strategy=strategy,
        precision=precision_of(choices.precision, devices.kind),
        # Named, as Fabric would take every process in an allocation of SLURM for one of several.
        plugins=[TorchElasticEnvironment() if outside else LightningEnvironment()],
    )


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


@contextlib.contextmanager
def interrupts() -> Iterator[threading.Event]:
    """Take note of Ctrl-C and SIGTERM instead of dying: the loop saves and ends at the next iteration.

    So with the signal by which a job of submitit learns that its time is up: submitit, which requeues the job, gets it
    once the run is saved.
    """
    event, for_submitit = threading.Event(), threading.Event()
    requeue = getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}")

    def note(number: int, frame: object) -> None:
        event.set()
        if number == requeue:
            for_submitit.set()

    numbers = {signal.SIGINT, signal.SIGTERM}
    if callable(signal.getsignal(requeue)):
        numbers.add(requeue)
    with handling(dict.fromkeys(numbers, note)):
        yield event
    if for_submitit.is_set():
        signal.raise_signal(requeue)


@contextlib.contextmanager
def signals_go_to_children() -> Iterator[None]:
    """Pass SIGTERM on to the processes of the run; Ctrl-C reaches them by itself."""
    with handling({signal.SIGINT: lambda *_: None, signal.SIGTERM: lambda number, _: send_to_children(number)}):
        yield
