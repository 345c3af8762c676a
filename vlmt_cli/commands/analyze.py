"""``vlmt analyze``: runs to understanding."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from vlmt_cli.commands import completion
from vlmt_cli.commands.options import DATA, DataFolder, DataSettings, Json, Recipe, Sbatch, Settings, Weights
from vlmt_cli.runs.folders import find_run, runs_folder

app = typer.Typer(help="Understand runs: which tasks help each other, schedules, ablations.", no_args_is_help=True)

Runs = Annotated[
    Path | None,
    typer.Option("--runs", help="The folder of all runs; else DATA/runs, and runs beside the default data folder."),
]
Sweep = Annotated[str, typer.Option("--sweep", help="The folder in it for this sweep's runs; results lie beside it.")]
Seeds = Annotated[int, typer.Option("--seeds", min=1, help="How often everything is trained; from two on, intervals.")]
Parallel = Annotated[
    int | None, typer.Option(min=1, help="Runs at a time; else one a GPU, or one on the CPU, or all of a cluster's.")
]
Launcher = Annotated[
    str | None, typer.Option(help="slurm: an array of cluster jobs, a GPU each. local: the same here, to try it.")
]
Device = Annotated[str, typer.Option(help="auto takes a GPU a run where there is one; cpu or cuda.")]
Scale = Annotated[str | None, typer.Option(help="A recipe to lay over the others: mini, for the drawn world.")]
Partial = Annotated[bool, typer.Option("--partial", help="Leave out examples whose images have no features.")]
Plan = Annotated[bool, typer.Option("--plan", help="Show what would be trained, and for how long, and end.")]
Yes = Annotated[bool, typer.Option("--yes", help="Train what is missing without a question.")]
Paper = Annotated[bool, typer.Option("--paper", help="Show the paper's figures, too.")]
From = Annotated[
    Path | None, typer.Option("--from", help="Show the Parquet that an earlier call wrote, without any run.")
]
Tasks = Annotated[
    str,
    typer.Option(
        "--tasks", help="Tasks and groups with commas: vqa,G3. A group goes as one.", autocompletion=completion.tasks
    ),
]

REPRESENTATIVES = "vqa,flickr30k,visual7w,nlvr2"


@app.command("overlap")
def overlap(
    datasets: Annotated[
        str, typer.Option(help="The mixture, with commas; all means all twelve.", autocompletion=completion.datasets)
    ] = "all",
    available: Annotated[bool, typer.Option("--available", help="Go on where official files are missing.")] = False,
    image_list: Annotated[
        list[str] | None,
        typer.Option(help="Further images, NAME:ROLE=FILE: train, val, test, pretrain or detector."),
    ] = None,
    identity: Annotated[str, typer.Option(help="strict, or paper: ids and the crosswalk only.")] = "strict",
    data: DataFolder = DATA,
    recipe: Recipe = "data",
    settings: DataSettings = None,
    paper: Paper = False,
    as_json: Json = False,
) -> None:
    """Show which test images are in which training images (table 1), and in any of a mixture's.

    Examples:

      vlmt analyze overlap --paper

      vlmt analyze overlap --datasets vqa,coco,refcoco --image-list bottom_up:detector=detector_train_images.txt

      vlmt analyze overlap --datasets all,conceptual_captions --available
    """
    from vlmt_cli.commands.analyze_overlap import overlap as show

    show(data, datasets, available, image_list, identity, recipe, settings, paper, as_json)


def _joint(together: int, text: str) -> Callable[..., None]:
    """Make a command that compares tasks trained together with each alone."""

    def command(
        tasks: Tasks = REPRESENTATIVES,
        seeds: Seeds = 1,
        preset: Annotated[
            str,
            typer.Option(
                "--preset",
                "--recipe",
                help="Recipe of all trainings, by name or file.",
                autocompletion=completion.recipes,
            ),
        ] = "pairs",
        scale: Scale = None,
        settings: Settings = None,
        data: DataFolder = DATA,
        runs: Runs = None,
        sweep: Sweep = "pairs",
        parallel: Parallel = None,
        launcher: Launcher = None,
        sbatch: Sbatch = None,
        device: Device = "auto",
        partial: Partial = False,
        plan: Plan = False,
        yes: Yes = False,
        weights: Weights = "best",
        paper: Paper = False,
        saved: From = None,
        as_json: Json = False,
    ) -> None:
        from vlmt_cli.commands.analyze_pairs import pairs as show
        from vlmt_cli.commands.analyze_sweeps import SweepOptions

        runs = runs or runs_folder(data)
        saved = Path(find_run(saved, data)) if saved else None
        options = SweepOptions(
            preset,
            scale,
            settings,
            seeds,
            data,
            runs,
            sweep,
            parallel,
            launcher,
            sbatch,
            device,
            partial,
            plan,
            yes,
            weights,
        )
        show(options, tasks, together, paper, saved, as_json)

    command.__doc__ = text
    return command


pairs = app.command("pairs")(
    _joint(
        2,
        """Say which tasks help each other (table 3): every pair of tasks against each task alone.

    Trains what is missing, each run in its own folder RUNS/SWEEP/NAME; finished runs are used, half-done ones go on.
    Asks before more than ten minutes of work; without a terminal, only --yes trains. Everything goes into
    RUNS/SWEEP.parquet and a heat-map RUNS/SWEEP.png.

    Examples:

      vlmt analyze pairs

      vlmt analyze pairs --plan --seeds 3

      vlmt analyze pairs --seeds 3 --parallel 4 --yes --paper

      vlmt analyze pairs --tasks G1,G2,G3,G4 --sweep groups --launcher slurm --sbatch partition=gpu --yes

      vlmt analyze pairs --data demo --scale mini

      vlmt analyze pairs --from runs/pairs.parquet
    """,
    )
)
triples = app.command("triples")(
    _joint(
        3,
        """Say whether gains add up (table 3): every triple of tasks against the sum of its pairs.

    As vlmt analyze pairs, whose runs and files it shares, with the triples trained as well.

    Examples:

      vlmt analyze triples --plan

      vlmt analyze triples --seeds 2 --yes --paper
    """,
    )
)


@app.command("ablations")
def ablations(
    number: Annotated[
        str, typer.Option("--table", help="6: tokens and schedules. 10: the same by task. 11: gaps. 12: without G4.")
    ] = "6",
    only: Annotated[str | None, typer.Option("--only", help="Recipes of the table, with commas; else all.")] = None,
    train: Annotated[bool, typer.Option("--train", help="Train what is missing.")] = False,
    seeds: Seeds = 1,
    scale: Scale = None,
    settings: Settings = None,
    data: DataFolder = DATA,
    runs: Runs = None,
    sweep: Sweep = "ablations",
    parallel: Parallel = None,
    launcher: Launcher = None,
    sbatch: Sbatch = None,
    device: Device = "auto",
    partial: Partial = False,
    plan: Plan = False,
    yes: Yes = False,
    weights: Weights = "best",
    paper: Paper = False,
    as_json: Json = False,
) -> None:
    """Say what each choice is worth (tables 6, 10, 11 and 12), from runs of the recipes of these names.

    Runs are looked for in RUNS and its sweeps, such as those that vlmt train --preset no-dsg leaves. With --train or
    --yes missing ones are trained, in RUNS/SWEEP; as for pairs, it asks before more than ten minutes of work.

    Examples:

      vlmt analyze ablations --paper

      vlmt analyze ablations --table 11 --plan

      vlmt analyze ablations --table 12 --train --parallel 4

      vlmt analyze ablations --only all-tasks,no-dsg --seeds 3 --yes
    """
    from vlmt_cli.commands.analyze_ablations import ablations as show
    from vlmt_cli.commands.analyze_sweeps import SweepOptions

    runs = runs or runs_folder(data)
    options = SweepOptions(
        "",
        scale,
        settings,
        seeds,
        data,
        runs,
        sweep,
        parallel,
        launcher,
        sbatch,
        device,
        partial,
        plan,
        yes,
        weights,
    )
    show(options, number, only, train, paper, as_json)


@app.command("schedule")
def schedule(
    run: Annotated[
        Path | None, typer.Argument(help="A multi-task run; else RUNS/all-tasks.", show_default=False)
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            "--with", help="A run to compare with: of one of its tasks, or of another gap. Else all that fit in RUNS."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Whose drift is drawn; else RefCOCO+, or the smallest that stopped.")
    ] = None,
    replays: Annotated[
        list[str] | None,
        typer.Option(
            "--replay",
            help="Another way to steer: gap=8,converged=0.002,diverged=0.01,variant=authors; what it leaves out stays."
            " Repeat it for more; else gaps 1, 4, 8 and 16.",
        ),
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", help="Folder for the pictures; else RUN/schedule.")] = None,
    data: DataFolder = DATA,
    runs: Runs = None,
    paper: Paper = False,
    as_json: Json = False,
) -> None:
    """Show what dynamic stop-and-go did in a run, and what another gap or threshold would have done.

    Draws when each task went and stopped (figure 2 left), a small dataset's drift and sizes against updates (figure
    6); with single-task runs, curves of both (figures 4 and 7); with runs of other gaps, these (figure 2 right).

    Examples:

      vlmt analyze schedule

      vlmt analyze schedule runs/all-tasks --task refcoco+ --replay gap=8 --replay gap=4,diverged=0.02

      vlmt analyze schedule runs/all-tasks --with runs/single-task-snli_ve --with runs/gap-8 --paper
    """
    from vlmt_cli.commands.analyze_schedule import schedule as show

    runs = runs or runs_folder(data)
    run = Path(find_run(run, data)) if run else runs / "all-tasks"
    beside = [Path(find_run(path, data)) for path in beside or ()]
    show(run, beside, runs, task, replays, to, paper, as_json)


@app.command("affinity")
def affinity(
    run: Annotated[
        Path | None, typer.Argument(help="A multi-task run; else RUNS/all-tasks.", show_default=False)
    ] = None,
    measured: Annotated[
        Path | None,
        typer.Option("--pairs", help="Parquet of vlmt analyze pairs, to compare with; else RUNS/pairs.parquet."),
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", help="PNG; else RUN/affinity.png.")] = None,
    data: DataFolder = DATA,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Say which tasks help each other from one run: look-ahead affinity and the cosine of gradients.

    The run must have measured them: vlmt train --set training.affinity_every=100. With measured pairs beside it, the
    rank correlation says how well one run tells what a sweep does.

    Examples:

      vlmt analyze affinity

      vlmt analyze affinity runs/all-tasks --pairs runs/pairs.parquet
    """
    from vlmt_cli.commands.analyze_affinity import affinity as show

    runs = runs or runs_folder(data)
    run = Path(find_run(run, data)) if run else runs / "all-tasks"
    usual = runs / "pairs.parquet"
    measured = Path(find_run(measured, data)) if measured else usual if usual.exists() else None
    show(run, measured, to, as_json)


@app.command("attention")
def attention(
    photo: Annotated[str, typer.Argument(help="A photo, or an image key whose features are stored: coco:9.")],
    text: Annotated[str, typer.Option("--text", help="The caption, question or expression.")],
    model: Annotated[
        str | None, typer.Option("--model", help="Run folder, .pt or hub id; else RUNS/all-tasks.", show_default=False)
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="Whose task token is put in; none for a pre-trained model.")
    ] = None,
    to: Annotated[Path, typer.Option("--to", help="The page.")] = Path("attention.html"),
    words: Annotated[
        Path | None, typer.Option("--words", help="PNG of the photo with each region's most attended word (figure 10).")
    ] = None,
    maps: Annotated[Path | None, typer.Option("--maps", help="PNG of the four kinds of maps (figure 12).")] = None,
    layer: Annotated[int | None, typer.Option("--layer", help="Of the pictures, from 0; else the mean.")] = None,
    head: Annotated[int | None, typer.Option("--head", help="Of the pictures, from 0; else the mean.")] = None,
    data: DataFolder = DATA,
    features: Annotated[str | None, typer.Option("--features", help="Store, for an image key.")] = None,
    detector: Annotated[str | None, typer.Option(help="Detector of transformers: hub id or folder.")] = None,
    backbone: Annotated[str | None, typer.Option(help="Backbone of transformers: hub id or folder.")] = None,
    detector_weights: Annotated[Path | None, typer.Option(help="detectron_model.pth of the paper's detector.")] = None,
    weights: Weights = "best",
) -> None:
    """Write a page to look around in all attention maps (figures 10 to 13): every layer, every head.

    Examples:

      vlmt analyze attention dog.jpg --text "the dog and its ball" --task refcoco

      vlmt analyze attention coco:9 --text "a plate of food" --words words.png --maps maps.png
    """
    from vlmt_cli.commands.analyze_attention import attention as show

    model = model or str(runs_folder(data) / "all-tasks")
    networks = (detector, backbone, detector_weights)
    show(model, weights, photo, text, task, data, features, *networks, to, words, maps, layer, head)
