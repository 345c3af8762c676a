"""Work as jobs of a SLURM cluster through submitit, or as processes of this machine to try that."""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vlmt_cli.base.errors import UsageError, VlmtError
from vlmt_cli.base.progress import Progress

Part = TypeVar("Part")
Result = TypeVar("Result")

LAUNCHERS = ("slurm", "local")
_TIMEOUTS = 1_000
"""How often a job may reach its time limit; it is requeued and goes on each time."""
_SIGNAL = 300  # seconds before the time limit in which a job saves


def read_launcher(launcher: str | None, sbatch: Sequence[str] | None) -> dict[str, str]:
    """Check ``--launcher``, and read what ``--sbatch`` gives: options of sbatch by their names.

    Raises:
        UsageError: there is no such launcher, or an option is not of the form ``partition=gpu``.
    """
    if launcher not in (None, *LAUNCHERS):
        raise UsageError(f"there is no launcher {launcher!r}", todo=f"choose {' or '.join(LAUNCHERS)}")
    if sbatch and launcher != "slurm":
        raise UsageError("--sbatch goes with --launcher slurm")
    options = {}
    for option in sbatch or ():
        name, equals, value = option.removeprefix("--").partition("=")
        if not name or not equals:
            raise UsageError(f"--sbatch {option!r}", todo="write it as --sbatch partition=gpu")
        options[name.replace("-", "_")] = value
    return options


def read_shard(text: str) -> tuple[int, int]:
    """Read ``--shard 3/64``: the number of a part, from 1, and how many there are.

    Raises:
        UsageError: it has another form, or the number is not one from 1 to OF.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {text!r}", todo="write it as NUMBER/OF, from 1/64 to 64/64")
    return int(match[1]), int(match[2])


_NO_SLURM = "--launcher slurm: this machine has no SLURM"
_WHERE_SLURM_IS = "run the command where srun is, or leave --launcher out"


def check_launcher(launcher: str | None, nodes: int) -> None:
    """Raise a UsageError where this machine cannot launch what is asked for; nothing heavy is imported."""
    if launcher == "local" and nodes > 1:
        raise UsageError(f"--launcher local is one machine, and --nodes {nodes}", todo="leave --nodes out")
    if launcher == "slurm" and shutil.which("srun") is None:
        raise UsageError(_NO_SLURM, todo=_WHERE_SLURM_IS)


def make_executor(
    logs: Path,
    launcher: str,
    name: str,
    *,
    cpus: int,
    gpus: int = 0,
    nodes: int = 1,
    tasks: int = 1,
    parallel: int | None = None,
    sbatch: Mapping[str, str] | None = None,
) -> Any:
    """Make a submitit executor.

    Args:
        logs: the folder of what jobs print; every machine must see it.
        launcher: ``slurm`` or ``local``.
        name: of the jobs.
        cpus: cores a process.
        gpus: GPUs a node.
        nodes: machines a job.
        tasks: processes a node.
        parallel: jobs of an array at a time; None for as many as the cluster likes.
        sbatch: further options of sbatch, which go before these.

    Raises:
        UsageError: this machine has no SLURM, or does not do what is asked for.
    """
    import submitit

    check_launcher(launcher if launcher == "local" else None, nodes)  # submitit itself looks for SLURM
    try:
        executor = submitit.AutoExecutor(folder=logs, cluster=launcher, slurm_max_num_timeout=_TIMEOUTS)
    except RuntimeError as error:
        raise UsageError(_NO_SLURM, todo=_WHERE_SLURM_IS) from error
    executor.update_parameters(
        name=name,
        timeout_min=24 * 60,
        cpus_per_task=cpus,
        gpus_per_node=gpus,
        nodes=nodes,
        tasks_per_node=tasks,
        slurm_signal_delay_s=_SIGNAL,
        slurm_additional_parameters=dict(sbatch or {}),
        **({} if parallel is None else {"slurm_array_parallelism": parallel}),
    )
    return executor


def run_array(
    executor: Any,
    function: Callable[[Part], Result],
    parts: Sequence[Part],
    logs: Path,
    progress: Progress | None = None,
) -> list[Result]:
    """Run a function on each part as one array of jobs, and wait for all of them.

    Args:
        executor: of ``make_executor``.
        function, parts: travel to other machines.
        logs: the folder of what jobs print.
        progress: called with how many jobs are done, of how many.

    Raises:
        VlmtError: a job failed; the others ran to their end.
    """
    results, failed = [], []
    for number, submitted in enumerate(executor.map_array(function, parts), 1):
        try:
            results.append(submitted.result())
        except Exception as error:  # submitit's, or what the job raised
            failed.append((number, " ".join(str(error).split())[-200:]))
        if progress:
            progress("", number, len(parts))
    if failed:
        number, reason = failed[0]
        raise VlmtError(
            f"{len(failed)} of {len(parts)} jobs failed, the first of them shard {number} ({reason})",
            where=logs,
            todo="run it again: it goes on with what is there",
        )
    return results
