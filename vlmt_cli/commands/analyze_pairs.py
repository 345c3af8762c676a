"""``vlmt analyze pairs`` and ``triples``: tasks trained together against each alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmt_cli.commands import completion
from vlmt_cli.commands.options import RecipeName, grouped
from vlmt_cli.commands.sweep_options import NO_PAPER, SweepName, SweepOptions

if TYPE_CHECKING:
    from vlmt_cli.analysis.relations.pairs import PairTable
    from vlmt_cli.runs.recipe import Recipe

REPRESENTATIVES = "vqa,flickr30k,visual7w,nlvr2"

Tasks = Annotated[
    str,
    typer.Option(
        "--tasks", help="Tasks and groups with commas: vqa,G3. A group counts as one.", autocompletion=completion.tasks
    ),
]
From = Annotated[Path | None, typer.Option("--from", help="Show the Parquet of an earlier call; no run is needed.")]


@grouped
def pairs(
    tasks: Tasks = REPRESENTATIVES,
    recipe: RecipeName = "pairs",
    sweep: SweepName = "pairs",
    saved: From = None,
    *,
    options: SweepOptions,
) -> None:
    """Show which tasks help each other (table 3): every pair of tasks against each task alone.

    Trains missing runs, each in its own folder RUNS/SWEEP/NAME; finished runs are reused, interrupted ones resume.
    Asks before more than ten minutes of work; without a terminal, only --yes trains. Everything goes into
    RUNS/SWEEP.parquet and a heat-map RUNS/SWEEP.png.

    Examples:

      vlmt analyze pairs

      vlmt analyze pairs --plan --seeds 3

      vlmt analyze pairs --seeds 3 --parallel 4 --yes --paper

      vlmt analyze pairs --tasks G1,G2,G3,G4 --sweep groups --launcher slurm --sbatch partition=gpu --yes

      vlmt analyze pairs --data demo --scale mini

      vlmt analyze pairs --from runs/pairs.parquet
    """
    _compare(2, tasks, recipe, sweep, saved, options)


@grouped
def triples(
    tasks: Tasks = REPRESENTATIVES,
    recipe: RecipeName = "pairs",
    sweep: SweepName = "pairs",
    saved: From = None,
    *,
    options: SweepOptions,
) -> None:
    """Show whether gains add up (table 3): every triple of tasks against the sum of its pairs.

    As vlmt analyze pairs, whose runs and files it shares, with the triples trained as well.

    Examples:

      vlmt analyze triples --plan

      vlmt analyze triples --seeds 2 --yes --paper
    """
    _compare(3, tasks, recipe, sweep, saved, options)


def _compare(together: int, tasks: str, recipe: str, name: str, saved: Path | None, options: SweepOptions) -> None:
    """Train and show pairs, or with ``together`` of 3 triples."""
    import json

    from vlmt_cli.analysis.relations.pairs import paper_pairs
    from vlmt_cli.analysis.relations.pairs_file import read_pairs
    from vlmt_cli.commands.pairs_tables import pairs_json, show_confounders, show_pairs
    from vlmt_cli.commands.show import stdout
    from vlmt_cli.runs.folders import find_run

    if saved is not None:
        path = Path(find_run(saved, options.data))
        measured = read_pairs(path)
    else:
        path = options.folder / f"{name}.parquet"
        made = _measure(together, tasks, recipe, name, options)
        if made is None:
            return
        measured = made
    from vlmt_cli.analysis.relations.pairs_plot import draw_pairs

    picture = path.with_suffix(".png")
    draw_pairs(measured, picture)
    if options.as_json:
        print(json.dumps(pairs_json(measured, picture, options.paper and measured.source == "test"), indent=2))
        return
    show_pairs(measured, "Relative change from single-task training, %")
    show_confounders(measured)
    if options.paper and measured.source == "test":
        show_pairs(paper_pairs(measured.not_comparable), "The paper's table 3")
    elif options.paper:
        stdout().print(NO_PAPER)
    for note in measured.notes:
        stdout().print(note)
    stdout().print(f"Drawn in {picture}" + ("" if saved else f", every number in {path}"))


def _measure(together: int, tasks: str, recipe: str, name: str, options: SweepOptions) -> "PairTable | None":
    """Train what is missing, compare the runs, and keep every number; None when only the plan was asked for."""
    from vlmt_cli.analysis.relations.confounders import confounders_of
    from vlmt_cli.analysis.relations.pairs import compare_runs, items_of, wanted_runs
    from vlmt_cli.analysis.relations.pairs_file import write_pairs
    from vlmt_cli.analysis.relations.sweep import beginning_with
    from vlmt_cli.base.errors import DataError
    from vlmt_cli.base.recipes import load_recipe
    from vlmt_cli.commands.analyze_sweeps import sweep
    from vlmt_cli.runs.recipe import Recipe

    items = items_of(tasks.replace(",", " ").split(), together)

    def make_recipe(names: tuple[str, ...], alone: bool) -> "Recipe":
        # A task alone has nothing to stop for, and trains as the recipe single-task: until it has converged.
        until = ["training.stop_when_converged=true"] if len(names) == 1 else []
        keys = [*until, *(options.keys or ()), *(["training.gap=1"] if alone else [])]
        loaded = load_recipe(recipe, Recipe, keys, options.scale, tasks=list(names)).overridden(options.keys or ())
        return beginning_with(loaded, options.folder)

    wanted = wanted_runs(items, make_recipe, options.seeds, 3)
    runs = sweep(options, name, wanted, lambda key: len(key[0]) <= together)
    if runs is None:
        return None
    measured = compare_runs(items, runs, confounders_of(items, runs, options.data), options.weights)
    if not measured.cells:
        todo = "train the others with --yes"
        raise DataError("no two of the finished runs compare", where=options.folder / name, todo=todo)
    write_pairs(options.folder / f"{name}.parquet", measured)
    return measured
