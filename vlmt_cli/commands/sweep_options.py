"""The options of commands that train and compare many runs: ``vlmt analyze pairs``, ``triples`` and ``ablations``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vlmt_cli.commands.devices import DeviceKind
from vlmt_cli.commands.options import (
    DATA,
    DataFolder,
    Json,
    Keys,
    Launcher,
    Paper,
    Partial,
    Runs,
    Sbatch,
    Scale,
    Weights,
)
from vlmt_cli.runs.folders import runs_folder

NO_PAPER = (
    "The paper's figures are of test scores and these of validation scores, so they do not stand beside them; --yes"
    " scores the runs on the test sets."
)
"""Said in place of the paper's figures."""
SweepName = Annotated[
    str, typer.Option("--sweep", help="Name of the sweep: its runs are in RUNS/SWEEP, its results beside that.")
]


@dataclass(frozen=True)
class SweepOptions:
    """What these commands share."""

    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Number of seeds; from two on, results have intervals.")
    ] = 1
    scale: Scale = None
    keys: Keys = None
    data: DataFolder = DATA
    runs: Runs = None
    parallel: Annotated[
        int | None,
        typer.Option(
            "--parallel", min=1, help="Runs at a time; else one a GPU, or one on the CPU, or all of a cluster's."
        ),
    ] = None
    gpus_per_run: Annotated[
        int, typer.Option("--gpus-per-run", min=1, help="GPUs that each run trains on; --parallel shares them out.")
    ] = 1
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            min=0,
            help="Train only what fits into so many hours of one GPU or CPU process: seed by seed, single tasks before"
            " pairs before triples.",
        ),
    ] = None
    launcher: Launcher = None
    sbatch: Sbatch = None
    device: DeviceKind = "auto"
    partial: Partial = False
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what would be trained and for how long, and train nothing.")
    ] = False
    yes: Annotated[
        bool, typer.Option("--yes", help="Train missing runs, and score those without test scores, without asking.")
    ] = False
    weights: Weights = "best"
    paper: Paper = False
    as_json: Json = False

    @property
    def folder(self) -> Path:
        """The folder of all runs."""
        return self.runs or runs_folder(self.data)
