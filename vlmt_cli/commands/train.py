"""``vlmt train``: a recipe to a run folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmt_cli.base.errors import VlmtError
from vlmt_cli.commands import completion
from vlmt_cli.commands.options import DATA, DataFolder, Json, Preset, Sbatch, Settings, check_data
from vlmt_cli.runs.folders import runs_folder

if TYPE_CHECKING:
    from vlmt_cli.training.processes import Devices

Run = Annotated[
    Path | None,
    typer.Option(
        "--run",
        help="The run folder; else RUNS and the preset's name. RUNS is DATA/runs, and runs beside the default data.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run that the folder holds.")]
Gpus = Annotated[int | None, typer.Option(min=1, help="One process each on so many GPUs of a machine.")]
Nodes = Annotated[int, typer.Option(min=1, help="Machines: started by torchrun or srun, or by --launcher slurm.")]
Device = Annotated[str, typer.Option(help="auto takes a GPU where there is one; cpu or cuda.")]
Processes = Annotated[int | None, typer.Option(min=1, help="Processes on the CPU.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")]
Partial = Annotated[bool, typer.Option("--partial", help="Leave out examples whose images have no features.")]
Scale = Annotated[str | None, typer.Option(help="A recipe to lay over this one: mini, for the drawn world.")]
Launcher = Annotated[
    str | None,
    typer.Option(
        help="slurm: a cluster job that is requeued and goes on until the end. local: the same here, to try it."
    ),
]


class Interrupted(VlmtError):
    """Somebody asked the run to stop, and it did."""

    exit_code = 130


def train(
    preset: Preset = "all-tasks",
    task: Annotated[
        str | None, typer.Option(help="Its tasks: vqa, or several with commas.", autocompletion=completion.tasks)
    ] = None,
    group: Annotated[str | None, typer.Option(help="Its task group: G1, G2, G3 or G4.")] = None,
    run: Run = None,
    resume: Resume = False,
    gpus: Gpus = None,
    nodes: Nodes = 1,
    device: Device = "auto",
    processes: Processes = None,
    seed: Seed = 0,
    partial: Partial = False,
    scale: Scale = None,
    launcher: Launcher = None,
    sbatch: Sbatch = None,
    data: DataFolder = DATA,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Train one model on one task, a group, or all twelve.

    Ctrl-C saves; the same command with --resume goes on.

    Examples:

      vlmt train --preset all-tasks --gpus 8

      vlmt train --preset single-task --task refcoco+ --set split=full

      vlmt train --preset all-to-single --task vqa

      vlmt train --resume --run runs/all-tasks

      vlmt train --gpus 8 --nodes 4 --launcher slurm --sbatch partition=gpu

      torchrun --nnodes 4 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST -m -- vlmt_cli train
    --gpus 8 --nodes 4
    """
    from vlmt_cli.base.errors import UsageError

    if task and group:
        raise UsageError("--task and --group exclude each other")
    named = f"-{(task or group or '').replace(',', '+')}" if task or group else ""
    folder = run or runs_folder(data) / f"{Path(preset).stem}{named}"
    values = {"tasks": task or group} if task or group else {}
    launch(
        preset,
        values,
        folder,
        resume,
        gpus,
        nodes,
        device,
        processes,
        seed,
        partial,
        scale,
        launcher,
        sbatch,
        data,
        settings,
        as_json,
    )


def launch(
    preset: str,
    values: dict[str, Any],
    run: Path,
    resume: bool,
    gpus: int | None,
    nodes: int,
    device: str,
    processes: int | None,
    seed: int,
    partial: bool,
    scale: str | None,
    launcher: str | None,
    sbatch: list[str] | None,
    data: Path,
    settings: list[str] | None,
    as_json: bool,
) -> None:
    """Run a recipe, and show what came of it.

    Raises:
        UsageError: options of a run that goes on ask for another one than it is.
        DataError: there is no data folder.
    """
    import functools
    from dataclasses import replace

    from vlmt_cli.base.cluster import read_launcher
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.base.processes import is_first
    from vlmt_cli.base.recipes import load_recipe
    from vlmt_cli.commands import obstacles
    from vlmt_cli.commands.training_display import show_training
    from vlmt_cli.runs.best import find_weights
    from vlmt_cli.runs.folders import CONFIG, find_run, settle, start_of
    from vlmt_cli.runs.metrics import is_finished
    from vlmt_cli.runs.recipe import Recipe, difference_of, read_recipe

    recipe = load_recipe(preset, Recipe, settings or (), scale, **values)
    check_devices(device, gpus, processes)
    options = read_launcher(launcher, sbatch)
    check_data(data)
    in_the_way = []
    run = Path(find_run(run, data)) if resume else run
    settle(run)
    if resume:
        recorded = read_recipe(run)
        asks = settings or scale or values
        if asks and (difference := difference_of(recipe, recorded)):
            todo = "leave these options out, or begin another run"
            raise UsageError(f"goes on as it began: {difference}", where=run, todo=todo)
        opening = f"{run} has come to its end already" if is_finished(run) else f"Going on with {run}"
    else:
        start = start_of(recipe, run, data)
        if (run / CONFIG).exists():
            in_the_way.append(obstacles.run_exists(run))
        if start is None and (lacking := obstacles.out_of_reach(recipe, runs_folder(data))):
            in_the_way.append(lacking)
        bert = recipe.model.settled().bert
        first = f"BERT's weights ({bert})" if bert else "random weights"
        opening = f"Beginning with {start or first}"
        if start is not None and (weights := find_weights(start, recipe.start_weights)).kind:
            opening += f", its {weights}"
        if start is None and recipe.start == "auto":
            opening += f", as there is no run {run.parent / 'pretrain'}"
    if launcher != "slurm" and (gpus or device == "cuda") and obstacles.gpus_surely_missing():
        in_the_way.insert(0, obstacles.no_gpus(gpus or 1, 0))
    obstacles.refuse(in_the_way, data, scale)

    from vlmt_cli.training.cluster import train_on_cluster
    from vlmt_cli.training.train import Job, train

    devices = choose_devices(device, gpus, processes, nodes, elsewhere=launcher == "slurm")
    report = functools.partial(show_training, opening)
    job = Job(recipe, data, run, seed, partial, resume, devices)
    if launcher is None:
        finished = train(replace(job, report=report))
    else:
        finished = train_on_cluster(job, launcher, options, report)
    if not finished:
        raise Interrupted("interrupted and saved", where=run, todo="the same command goes on with --resume")
    if is_first():
        _show(run, as_json)


def check_devices(device: str, gpus: int | None, processes: int | None) -> None:
    """Raise a UsageError where the options contradict each other."""
    from vlmt_cli.base.errors import UsageError

    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"there is no device {device!r}", todo="choose auto, cpu or cuda")
    if device == "cpu" and gpus is not None:
        todo = f"give --processes {gpus} instead of --gpus {gpus}"
        raise UsageError("--gpus and --device cpu exclude each other", todo=todo)
    if processes is not None and (gpus is not None or device == "cuda"):
        raise UsageError("--processes is for the CPU", todo="leave it out, and give --gpus alone")


def choose_devices(
    device: str, gpus: int | None, processes: int | None, nodes: int, elsewhere: bool = False
) -> "Devices":
    """Say what to compute on; of other machines, whose GPUs are not known here, that they have some.

    Raises:
        UsageError: processes are asked for where GPUs are chosen by themselves.
    """
    import torch

    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.training.processes import Devices

    kind = (
        "cuda" if gpus or device == "cuda" or (device == "auto" and (elsewhere or torch.cuda.is_available())) else "cpu"
    )
    if kind == "cuda" and processes is not None:
        raise UsageError("--processes is for the CPU", todo="give --device cpu with it, or --gpus instead")
    return Devices(kind, gpus or processes or 1, nodes)


def _show(run: Path, as_json: bool) -> None:
    import json

    from vlmt_cli.commands.show import stdout, table
    from vlmt_cli.runs.best import find_weights
    from vlmt_cli.runs.metrics import read_metrics

    metrics = read_metrics(run)
    tasks: dict[str, dict[str, Any]] = {}
    for line in metrics:
        if line["kind"] == "validation":
            row = tasks.setdefault(line["task"], {"stops": 0, "updates": 0})
            row |= {"validation": line["score"], "best": max(line["score"], row.get("best", line["score"]))}
            row["stops"] += line["before"] == "go" and line["state"] == "stop"
    for line in metrics:
        if line["kind"] == "train" and line["task"] in tasks:
            tasks[line["task"]] |= {"loss": line["loss"], "updates": tasks[line["task"]]["updates"] + line["updates"]}
    seconds, iteration = metrics[-1].get("seconds", 0.0), metrics[-1].get("iteration", 0)
    planned = next((line["iterations"] for line in metrics if line["kind"] == "start"), iteration)
    weights = find_weights(run)
    if as_json:
        best = weights.best.model_dump() if weights.best else None
        tensors = next((line["weights"] for line in metrics if "weights" in line), None)
        result = {"run": str(run), "seconds": seconds, "iterations": iteration, "best": best, "weights": tensors}
        result["tasks"] = tasks
        print(json.dumps(result, indent=2))
        return
    rows = [
        [
            task,
            f"{row['updates']:,}",
            str(row["stops"]),
            *(f"{row.get(name, 0):.4f}" for name in ("loss", "validation", "best")),
        ]
        for task, row in tasks.items()
    ]
    header = ["task", "updates", "stops", "loss", "validation", "best"]
    took = f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.0f} seconds"
    converged = f"converged after {iteration:,} of {planned:,} iterations, " if iteration < planned else ""
    stdout().print(table(header, rows, f"{run}: {converged}trained in {took}"))
    stdout().print(f"Commands take its {weights}.", markup=False)
