"""Whether torchrun or srun started this process as one of several; read from its environment alone."""

import os

_FIRST_SPECIAL_STEP = 0xFFFFFFF0
"""From here on SLURM's step ids are those of the script of sbatch, the shell of salloc and the like."""


def by_torchrun() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def started_from_outside() -> bool:
    """Whether torchrun or srun started this process as one of several."""
    return by_torchrun() or _by_srun()


def started() -> int:
    """Return how many processes torchrun or srun started, this one among them."""
    return int(os.environ["WORLD_SIZE"]) if by_torchrun() else _srun_tasks()


def is_first() -> bool:
    """Whether this process is the one that speaks for all that torchrun or srun started."""
    return not started_from_outside() or os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def _by_srun() -> bool:
    """Whether this process is one of several tasks of a job step.

    The shell of salloc and the script of sbatch have SLURM_NTASKS, the size of the allocation, in their environment as
    well; but they are in no step, or in one of the special ones, and nobody starts their peers.
    """
    step = os.environ.get("SLURM_STEP_ID") or os.environ.get("SLURM_STEPID") or ""
    return step.isdecimal() and int(step) < _FIRST_SPECIAL_STEP and _srun_tasks() > 1


def _srun_tasks() -> int:
    return int(os.environ.get("SLURM_STEP_NUM_TASKS") or os.environ.get("SLURM_NTASKS") or 1)
