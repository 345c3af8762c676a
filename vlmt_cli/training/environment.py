"""Hardware and versions of a training, for its lineage.

What a seed promises: on a CPU, the same recipe, data, seed, start, versions, instruction set, number of processes and
threads give the same weights, bit for bit, however often a run was interrupted. With another number of threads or
processes, on another processor or with other versions, sums are made in another order, and weights drift apart from the
last bits on; so they do on a GPU, some of whose operations add in no fixed order.
"""

import os
import platform
from dataclasses import replace
from importlib.metadata import version

import torch

from vlmt_cli.runs.checkpoint import Checkpoint
from vlmt_cli.runs.lineage import Environment

PACKAGES = ("vlmt", "torch", "numpy", "lightning-fabric", "tokenizers", "pyarrow")


def environment_here(device: torch.device, processes: int, seed: int) -> Environment:
    """Describe this process, and the number of all of them."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{device.type} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return Environment(
        seed=seed,
        device=name,
        processes=processes,
        threads=torch.get_num_threads(),
        omp_num_threads=os.environ.get("OMP_NUM_THREADS"),
        versions={"python": platform.python_version(), **{package: version(package) for package in PACKAGES}},
    )


def with_environment(checkpoint: Checkpoint, environment: Environment) -> Checkpoint:
    """Add to the lineage's last stage what it runs on, where that is another than before."""
    *stages, last = checkpoint.lineage.stages
    if last.environments[-1:] == (environment,):
        return checkpoint
    last = last.model_copy(update={"environments": (*last.environments, environment)})
    lineage = checkpoint.lineage.model_copy(update={"stages": (*stages, last)})
    return replace(checkpoint, lineage=lineage)
