"""What the commands of sweeps share: finding, planning, confirming and training the runs."""

import json
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from vlmt_cli.analysis.relations.sweep import Found, Wanted, find
from vlmt_cli.analysis.relations.sweep_plan import SweepPlan, make_sweep_plan, within_budget
from vlmt_cli.analysis.relations.sweep_scores import is_scored
from vlmt_cli.base.cluster import read_launcher
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.words import be, count, duration
from vlmt_cli.commands import obstacles
from vlmt_cli.commands.devices import Computing, check_computing, check_gpus, devices_of, kind_of
from vlmt_cli.commands.missing_data import missing_data
from vlmt_cli.commands.options import DATA, check_data
from vlmt_cli.commands.show import progress, say, stdout, table
from vlmt_cli.commands.stale import say_stale
from vlmt_cli.commands.sweep_options import SweepOptions
from vlmt_cli.runs.folders import start_of
from vlmt_cli.runs.recipe import RECIPE, difference_of, read_recipe

if TYPE_CHECKING:
    from vlmt_cli.analysis.relations.sweep_run import Launch

ASK_ABOVE = 600.0
"""Seconds of work before which a person is asked."""
Key = TypeVar("Key", bound=Hashable)


def sweep(
    options: SweepOptions,
    name: str,
    wanted: Mapping[Key, Wanted],
    needs: Callable[[Key], bool],
    trains: bool = True,
) -> dict[Key, Path] | None:
    """Find runs, train those that are needed and missing where that is allowed, and return the finished ones.

    Args:
        options: of the command line.
        name: of the sweep.
        wanted: the runs.
        needs: tells which of them the command needs.
        trains: whether missing ones may be trained.

    Returns:
        Their folders; None with ``--plan``, which trains nothing.

    Raises:
        DataError: no run is finished, and nobody said that they should be trained.
    """
    if (options.plan or options.yes) and options.data != DATA:  # a plan needs none, but who names one means it
        check_data(options.data)
    launch = _launch(options)
    if not (options.yes or options.plan):
        wanted = _as_they_are(options, name, wanted)
    runs_and_data = options.folder, name, options.data
    states = dict(zip(wanted, find(wanted.values(), *runs_and_data), strict=True))
    needed = sorted((states[key] for key in wanted if needs(key)), key=lambda run: run.wanted.seed)
    parallel = launch.parallel or max(1, sum(run.state != "finished" for run in needed))
    plan = make_sweep_plan(needed, options.folder, options.data, launch.device, parallel)
    if options.budget is not None:
        plan, left_out = within_budget(plan, options.budget, launch.gpus)
        for line in left_out:
            say(line)
        needed = list(plan.runs)
    todo = [run for run in needed if run.state != "finished"]
    unscored = [run for run in needed if run.state == "finished" and not is_scored(run.folder, options.weights)]
    if options.plan:
        _show_plan(plan, name, options.as_json)
        return None
    starts = (start_of(run.wanted.recipe, run.folder, options.data) for run in todo)
    lacking = missing_data([run.wanted.recipe for run in todo], options.data, not any(starts)) if trains else []
    lacking += filter(None, [next(filter(None, (_lacking(options, name, run.wanted) for run in todo)), None)])
    if options.yes:
        obstacles.refuse(lacking, options.data, options.scale)
    if (todo and trains and not lacking and _may_train(plan, todo, options.yes)) or (unscored and options.yes):
        with progress("Training") as update:
            said = ""

            def tell(what: str, done: int, total: int) -> None:
                nonlocal said
                update(what, done, total)
                if what != said and not sys.stderr.isatty():
                    say(f"{what} trained")
                said = what

            if not run_sweep(plan, options.data, launch, tell=tell):
                sys.exit(130)
        states = dict(zip(wanted, find(wanted.values(), *runs_and_data), strict=True))
        todo, unscored = [], []
    runs = {key: run.folder for key, run in states.items() if run.state == "finished"}
    if not runs:
        _show_plan(plan, name, options.as_json)
        todo_text = f"train them with --yes, about {duration(plan.total)}"
        more = obstacles.fitting(lacking, options.data, options.scale)
        if first := obstacles.before(lacking):
            what = "; ".join(obstacle.what for obstacle in lacking)
            todo_text += f", and they lack what they read: {what}; {first}{obstacles.command((), ['--yes', *more])}"
        elif more:
            todo_text += f", or what this machine can: {obstacles.command((), ['--yes', *more])}"
        raise DataError(f"none of {count(len(needed), 'run')} is there", where=options.folder / name, todo=todo_text)
    if todo:
        some = f"{len(todo)} of {count(len(needed), 'run')} {be(len(todo))}"
        say(f"{some} missing; --yes trains them, about {duration(plan.total)}")
    if unscored:
        have = "has" if len(unscored) == 1 else "have"
        some = f"{len(unscored)} of {count(len(needed), 'run')} {have}"
        say(f"{some} no test scores; --yes scores them, and compares by these")
        say_stale((run.folder for run in unscored), options.data)
    return runs


def _as_they_are(options: SweepOptions, name: str, wanted: Mapping[Key, Wanted]) -> Mapping[Key, Wanted]:
    """Where no option asks for a recipe and a sweep was trained with another than the usual, take its runs as they are.

    Runs that it lacks are then left out: they would be of the usual recipe, and not compare.
    """
    if options.keys or options.scale:
        return wanted
    folder = options.folder / name
    present = {key: run for key, run in wanted.items() if (folder / run.name / RECIPE).exists()}
    own = {key: replace(run, recipe=read_recipe(folder / run.name)) for key, run in present.items()}
    differences = (difference_of(wanted[key].recipe, run.recipe) for key, run in own.items())
    difference = next(filter(None, differences), None)
    if difference is None:
        return wanted
    lost = len(wanted) - len(own)
    without = f", without {lost} that it does not have" if lost else ""
    say(f"{folder}: its runs are shown as they are{without} ({difference}); --scale and --set ask for others")
    return own


def _lacking(options: SweepOptions, name: str, wanted: Wanted) -> obstacles.Obstacle | None:
    """Return what a run needs to start from and this machine cannot get; None where it has all."""
    own = options.folder / name / wanted.name
    if start_of(wanted.recipe, own, options.data) is not None:
        return None
    return obstacles.out_of_reach(wanted.recipe, options.folder)


def run_sweep(plan: SweepPlan, data: Path, launch: "Launch", tell: Callable[[str, int, int], None]) -> bool:
    """Train what is missing; what it takes is imported only now."""
    from vlmt_cli.analysis.relations.sweep_run import run_sweep as run
    from vlmt_cli.analysis.relations.sweep_scores import score_run

    return run(plan, data, launch, tell=tell, scorer=score_run)


def _launch(options: SweepOptions) -> "Launch":
    sbatch = read_launcher(options.launcher, options.sbatch)
    asked = Computing(options.device, launcher=options.launcher)
    check_computing(asked, numbered=False)
    check_gpus(asked)
    from vlmt_cli.analysis.relations.sweep_run import Launch, devices_here

    device = kind_of(devices_of(asked, numbered=False))
    gpus = options.gpus_per_run
    if gpus > 1 and device == "cpu":
        todo = "leave it out, or give --device cuda"
        raise UsageError(f"--gpus-per-run {gpus}, and runs train on the CPU", todo=todo)
    parallel = options.parallel if options.launcher else len(devices_here(device, options.parallel, gpus))
    return Launch(parallel, device, gpus, options.weights, options.launcher, sbatch, options.partial)


def _may_train(plan: SweepPlan, todo: Sequence[Found], yes: bool) -> bool:
    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    if plan.total <= ASK_ABOVE:
        return True
    return typer.confirm(f"Train {count(len(todo), 'run')}, about {duration(plan.total)} ({plan.how})?", err=True)


def _show_plan(plan: SweepPlan, name: str, as_json: bool) -> None:
    if as_json:
        runs = [
            {
                "name": planned.wanted.name,
                "folder": str(planned.folder),
                "state": planned.state,
                "share": round(planned.share, 4),
                "tasks": planned.wanted.recipe.tasks,
                "seed": planned.wanted.seed,
                "iterations": iterations,
                "seconds": round(seconds, 1),
            }
            for planned, seconds, iterations in zip(plan.runs, plan.seconds, plan.iterations, strict=True)
        ]
        about = {"sweep": name, "parallel": plan.parallel, "seconds": round(plan.total, 1), "estimated": plan.how}
        about["notes"] = list(plan.notes)
        print(json.dumps(about | {"runs": runs}, indent=2))
        return
    rows = []
    for planned, seconds, iterations in zip(plan.runs, plan.seconds, plan.iterations, strict=True):
        state = f"{planned.share:.0%} done" if planned.state == "half-done" else planned.state
        time = duration(seconds) if planned.state != "finished" else ""
        rows.append([planned.wanted.name, state, str(planned.wanted.seed), f"{iterations:,}", time])
    done = sum(run.state == "finished" for run in plan.runs)
    title = f"{name}: {done} of {count(len(plan.runs), 'run')} {be(done)} finished"
    stdout().print(table(["run", "state", "seed", "iterations", "about"], rows, title, left=2))
    if done < len(plan.runs):
        at_a_time = f", {plan.parallel} at a time" if plan.parallel > 1 else ""
        stdout().print(f"All in all about {duration(plan.total)}{at_a_time}: {plan.how}.")
        for sentence in plan.notes:
            stdout().print(f"- {sentence}")
