"""The processes of a run: one a GPU, started here, by torchrun or by SLURM; and what interrupts them."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from vlmt_cli.base.errors import UsageError
from vlmt_cli.runs.recipe import TrainingChoices
from vlmt_cli.trunks.layers import CoAttentionLayer, TransformerLayer

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


def started_from_outside() -> bool:
    """Whether torchrun or SLURM started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) > 1


def is_first() -> bool:
    """Whether this process is the one that speaks for all that torchrun or SLURM started."""
    return not started_from_outside() or os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def check_devices(devices: Devices) -> None:
    """Raise a UsageError where there are fewer GPUs than asked for, or other machines were not started."""
    if devices.kind == "cuda" and (there := torch.cuda.device_count()) < devices.processes:
        asked = f"{devices.processes} GPUs are" if devices.processes > 1 else "a GPU is"
        what = f"{asked} asked for, and there {'is' if there == 1 else 'are'} {there or 'none'}"
        todo = f"give --gpus {there}" if there else "give --device cpu, with --processes in place of --gpus"
        raise UsageError(what, todo=todo)
    if devices.nodes > 1 and not started_from_outside():
        raise UsageError(f"--nodes {devices.nodes}", todo="start the command with torchrun or srun on each of them")


def make_fabric(choices: TrainingChoices, devices: Devices) -> Fabric:
    """Make what deals with devices, precision and processes."""
    many = devices.processes * devices.nodes > 1
    strategy: Any = "auto"
    if many:
        start: Any = "popen" if started_from_outside() else "spawn"
        strategy = DDPStrategy(start_method=start, find_unused_parameters=True)
    precision: Any = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}.get(choices.precision)
    if precision is None:
        has_bf16 = devices.kind == "cuda" and torch.cuda.is_bf16_supported()
        precision = "bf16-mixed" if has_bf16 else "32-true"
    return Fabric(
        accelerator=devices.kind,
        devices=devices.processes,
        num_nodes=devices.nodes,
        strategy=strategy,
        precision=precision,
    )


@contextlib.contextmanager
def interrupts() -> Iterator[threading.Event]:
    """Take note of Ctrl-C and SIGTERM instead of dying: the loop saves and ends at the next iteration."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.signal(number, lambda *_: event.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def signals_go_to_children() -> Iterator[None]:
    """Pass SIGTERM on to the processes of the run; Ctrl-C reaches them by itself."""

    def pass_on(number: int, frame: object) -> None:
        for child in multiprocessing.active_children():
            if child.pid:
                os.kill(child.pid, number)

    before = {signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None)}
    before[signal.SIGTERM] = signal.signal(signal.SIGTERM, pass_on)
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
