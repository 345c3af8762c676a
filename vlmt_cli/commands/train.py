"""``vlmt train``: a recipe to a run folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmt_cli.base.errors import UsageError, VlmtError
from vlmt_cli.commands import completion
from vlmt_cli.commands.devices import DeviceKind, Gpus, Nodes, Processes
from vlmt_cli.commands.options import (
    DATA,
    DataFolder,
    Json,
    Keys,
    Launcher,
    Limit,
    Partial,
    RecipeName,
    Sbatch,
    Scale,
    check_data,
    grouped,
)
from vlmt_cli.runs.folders import runs_folder

if TYPE_CHECKING:
    from vlmt_cli.commands.obstacles import Obstacle
    from vlmt_cli.runs.recipe import Recipe


@dataclass(frozen=True)
class TrainingOptions:
    """What ``vlmt train`` and ``vlmt pretrain`` share."""

    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            help="The run folder; else RUNS and the recipe's name. RUNS is DATA/runs, and runs beside the default"
            " data.",
        ),
    ] = None
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run that the folder holds.")] = False
    gpus: Gpus = None
    nodes: Nodes = 1
    device: DeviceKind = "auto"
    processes: Processes = None
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 0
    partial: Partial = False
    limit: Limit = None
    scale: Scale = None
    launcher: Launcher = None
    sbatch: Sbatch = None
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what the run will take, from about a minute's measurement; write nothing."),
    ] = False
    device_kind: Annotated[
        str | None,
        typer.Option(
            help="With --dry-run: estimate for --gpus GPUs of a kind, from counted operations; examples and features"
            " need not be there. v100, a100, l40s, h100, h200 or b200."
        ),
    ] = None
    data: DataFolder = DATA
    keys: Keys = None
    as_json: Json = False


class Interrupted(VlmtError):
    """Somebody asked the run to stop, and it did."""

    exit_code = 130


@grouped
def train(
    recipe: RecipeName = "all-tasks",
    task: Annotated[
        str | None, typer.Option(help="Task, or several with commas: vqa,refcoco.", autocompletion=completion.tasks)
    ] = None,
    group: Annotated[str | None, typer.Option(help="Task group: G1, G2, G3 or G4.")] = None,
    *,
    options: TrainingOptions,
) -> None:
    """Train one model on one task, a group, or all twelve.

    Ctrl-C saves the run; the same command with --resume resumes it. With --launcher slurm the run is one cluster job,
    which is requeued at its time limit until the run has ended.

    Examples:

      vlmt train --preset all-tasks --gpus 8

      vlmt train --preset single-task --task refcoco+ --set split=full

      vlmt train --preset all-to-single --task vqa

      vlmt train --task vqa --limit 100 --run runs/smoke --set training.iterations=10

      vlmt train --resume --run runs/all-tasks

      vlmt train --preset all-tasks --dry-run --device-kind h100 --gpus 8

      vlmt train --gpus 8 --nodes 4 --launcher slurm --sbatch partition=gpu

      torchrun --nnodes 4 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST -m -- vlmt_cli train
    --gpus 8 --nodes 4
    """
    if task and group:
        todo = "leave one of them out; --task takes groups, too, as in --task vqa,G3"
        raise UsageError("--task and --group exclude each other", todo=todo)
    if group:
        _check_group(group)
    named = f"-{(task or group or '').replace(',', '+')}" if task or group else ""
    launch(recipe, f"{Path(recipe).stem}{named}", {"tasks": task or group} if task or group else {}, options)


def _check_group(group: str) -> None:
    from vlmt_cli.base.schema import nearest
    from vlmt_cli.datasets.table import GROUPS

    if group not in GROUPS:
        raise UsageError(f"there is no task group {group!r}", where="--group", todo=nearest(group, GROUPS))


def launch(name: str, folder: str, over: dict[str, Any], options: TrainingOptions) -> None:
    """Train a recipe, and show the result.

    Args:
        name: of the recipe.
        folder: the run's name in the folder of all runs, where the options give no other folder.
        over: keys laid over the recipe.
        options: of the command line.

    Raises:
        UsageError: options of a run that is resumed ask for another one than it is.
        DataError: there is no data folder.
    """
    import functools
    from dataclasses import replace

    from vlmt_cli.base.cluster import check_launcher, read_launcher
    from vlmt_cli.base.processes import is_first
    from vlmt_cli.commands import obstacles
    from vlmt_cli.commands.devices import Computing, check_computing, devices_of, gpus_surely_missing, kind_of
    from vlmt_cli.commands.show import say
    from vlmt_cli.commands.training_display import show_training
    from vlmt_cli.runs.folders import find_run, settle
    from vlmt_cli.runs.recipe import load_training

    keys = [*(options.keys or ()), *([f"training.limit={options.limit}"] if options.limit else [])]
    recipe = load_training(name, keys, options.scale, **over)
    asked = Computing(options.device, options.gpus, options.processes, options.launcher)
    check_computing(asked, numbered=False)
    if options.dry_run:
        from vlmt_cli.commands.dry_run import dry_run

        dry_run(Path(name).stem, recipe, options, asked)
        return
    if options.device_kind is not None:
        raise UsageError("--device-kind is for --dry-run", todo="give --dry-run with it, or --device")
    sbatch = read_launcher(options.launcher, options.sbatch)
    check_launcher(options.launcher, options.nodes)
    check_data(options.data)
    run = options.run or runs_folder(options.data) / folder
    if options.resume:
        run = Path(find_run(run, options.data))
    settle(run)
    in_the_way: list[obstacles.Obstacle] = []
    if options.resume:
        opening = _resuming(run, recipe if options.scale or over else None, keys)
    else:
        opening = _initialising(run, recipe, options.data, in_the_way)
    if asked.asked_gpus and options.launcher != "slurm" and gpus_surely_missing():
        in_the_way.insert(0, obstacles.no_gpus(asked.asked_gpus))
    obstacles.refuse(in_the_way, options.data, options.scale)
    if recipe.changed and recipe.reproduces and is_first() and not options.resume:
        say(f"The run reproduces no row of the paper's tables: --set or --limit changed {', '.join(recipe.changed)}")

    from vlmt_cli.evaluation.processes import Devices
    from vlmt_cli.training.cluster import train_on_cluster
    from vlmt_cli.training.job import Job
    from vlmt_cli.training.train import train

    devices = devices_of(asked, numbered=False)
    report = functools.partial(show_training, opening)
    on = Devices(kind_of(devices), len(devices), options.nodes)
    job = Job(recipe, options.data, run, options.seed, options.partial, options.resume, on)
    if options.launcher is None:
        finished = train(replace(job, report=report))
    else:
        finished = train_on_cluster(job, options.launcher, sbatch, report)
    if not finished:
        raise Interrupted("interrupted and saved", where=run, todo="resume it with the same command and --resume")
    if is_first():
        _show(run, options.as_json)


def _resuming(run: Path, asked: "Recipe | None", keys: list[str]) -> str:
    """Return the line that opens a run that is resumed, after comparing its recipe with what is asked for.

    Args:
        run: its folder.
        asked: the recipe that the options ask for; None where they name none, and only ``keys`` are compared.
        keys: that are laid over it.
    """
    import json

    from vlmt_cli.base.recipes import load_recipe
    from vlmt_cli.runs.folders import LINEAGE
    from vlmt_cli.runs.metrics import is_finished
    from vlmt_cli.runs.recipe import RECIPE, Recipe, difference_of, read_recipe

    recipe = read_recipe(run)
    asked = asked or load_recipe(str(run / RECIPE), Recipe, keys)
    if recipe.features.store is None and asked.features.store is not None and (run / LINEAGE).exists():
        # The recipe named no store, and the run read one: whoever names that one asks for nothing else.
        extractor = json.loads((run / LINEAGE).read_text())["extractor"] or {}
        if extractor.get("store") == Path(asked.features.store).name:
            asked = asked.model_copy(update={"features": asked.features.model_copy(update={"store": None})})
    if difference := difference_of(asked, recipe):
        todo = "leave these options out, or start another run with --run"
        raise UsageError(f"cannot resume with other keys: {difference}", where=run, todo=todo)
    return f"{run} is finished" if is_finished(run) else f"Resuming {run}"


def _initialising(run: Path, recipe: "Recipe", data: Path, in_the_way: "list[Obstacle]") -> str:
    """Return the line that opens a new run, and add what is in its way to ``in_the_way``."""
    from vlmt_cli.commands import obstacles
    from vlmt_cli.commands.missing_data import missing_data
    from vlmt_cli.runs.best import find_weights
    from vlmt_cli.runs.folders import CONFIG, pretraining_runs, start_of

    start = start_of(recipe, run, data)
    in_the_way += missing_data([recipe], data, new=start is None)
    if (run / CONFIG).exists():
        in_the_way.append(obstacles.run_exists(run))
    if start is not None:
        weights = find_weights(start, recipe.start_weights)
        return f"Initialising from {start}" + (f", its {weights}" if weights.kind else "")
    if lacking := obstacles.out_of_reach(recipe, runs_folder(data)):
        in_the_way.append(lacking)
    bert = recipe.model.settled().bert
    pretraining = run.parent / pretraining_runs(recipe.model.trunk)[0]
    absent = f", as there is no run {pretraining}" if recipe.start == "auto" else ""
    return f"Initialising from {f'BERT ({bert})' if bert else 'random weights'}{absent}"


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
    stdout().print(f"Commands take its {weights}.")
