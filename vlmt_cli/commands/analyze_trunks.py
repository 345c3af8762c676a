"""``vlmt analyze trunks``: how much is the trunk, and whether joint training helps each alike."""

from typing import TYPE_CHECKING, Annotated

import typer

from vlmt_cli.commands import completion
from vlmt_cli.commands.options import grouped
from vlmt_cli.commands.sweep_options import SweepName, SweepOptions

if TYPE_CHECKING:
    from vlmt_cli.analysis.relations.trunks import TrunkRun
    from vlmt_cli.runs.recipe import Recipe


@grouped
def trunks(
    names: Annotated[str, typer.Option("--trunks", help="Trunks with commas.")] = "vilbert,lxmert,visualbert,uniter",
    tasks: Annotated[
        str,
        typer.Option(
            "--tasks",
            help="Tasks of the single-task models, with commas; '' for none.",
            autocompletion=completion.tasks,
        ),
    ] = "vqa,flickr30k,visual7w,nlvr2",
    single_seeds: Annotated[
        int | None,
        typer.Option("--single-seeds", min=1, help="Number of seeds of the single-task models; else as --seeds."),
    ] = None,
    released: Annotated[
        bool,
        typer.Option(
            "--released", help="Also compare models that start from RUNS/released-TRUNK, which vlmt convert made."
        ),
    ] = False,
    sweep: SweepName = "trunks",
    *,
    options: SweepOptions,
) -> None:
    """Compare trunks in the same training, and show whether joint training helps each of them alike (tables 4 and 9).

    Trains what is missing, as vlmt analyze pairs does: each trunk on all tasks, and on some tasks alone. Each starts
    from its own pre-training, the run pretrain-lxmert, say, which vlmt pretrain --preset pretrain-lxmert makes; ViLBERT
    from pretrain. Models that start from released weights have columns of their own.

    Examples:

      vlmt analyze trunks --plan

      vlmt analyze trunks --seeds 5 --single-seeds 3 --yes --paper

      vlmt analyze trunks --trunks vilbert,uniter --tasks nlvr2 --released --yes
    """
    import json

    from vlmt_cli.analysis.relations.sweep import Wanted, beginning_with
    from vlmt_cli.analysis.relations.trunks import compare_trunks, tasks_of, trunk_runs, trunks_of
    from vlmt_cli.commands.analyze_sweeps import sweep as find_or_train
    from vlmt_cli.commands.trunks_tables import show_trunks, trunks_json

    chosen = trunks_of(names.replace(",", " ").split())
    alone = tasks_of(tasks.replace(",", " ").split())
    listed = trunk_runs(
        chosen, alone, options.seeds, single_seeds or options.seeds, released_trunks(chosen) if released else ()
    )
    wanted = {
        run: Wanted(run.name, beginning_with(recipe_of(run, options), options.folder), run.seed) for run in listed
    }
    runs = find_or_train(options, sweep, wanted, lambda _: True)
    if runs is None:
        return
    columns, source = compare_trunks(runs, options.weights)
    if options.as_json:
        print(json.dumps(trunks_json(columns, source, options.paper), indent=2))
        return
    show_trunks(columns, source, options.paper)


def recipe_of(run: "TrunkRun", options: SweepOptions) -> "Recipe":
    """Return the recipe of a run: that of all tasks, or of one, with another trunk and its own start."""
    from vlmt_cli.runs.recipe import load_training

    kind, keys = "single-task" if run.task else "all-tasks", [f"model.trunk={run.trunk}", *(options.keys or ())]
    if run.released:
        kind, keys = f"{kind}-{run.trunk}-released", list(options.keys or ())
    over = {"tasks": [run.task]} if run.task else {}
    return load_training(kind, keys, options.scale, **over)


def released_trunks(chosen: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of some trunks have a recipe that starts from released weights."""
    from vlmt_cli.base.recipes import recipes_folder

    return tuple(trunk for trunk in chosen if (recipes_folder() / f"all-tasks-{trunk}-released.yaml").exists())
