"""``vlmt pretrain``: Conceptual Captions to a model that tasks begin with."""

from pathlib import Path

from vlmt_cli.commands.options import DATA, DataFolder, Json, Preset, Sbatch, Settings
from vlmt_cli.commands.train import Device, Gpus, Launcher, Nodes, Partial, Processes, Resume, Run, Scale, Seed
from vlmt_cli.runs.folders import runs_folder


def pretrain(
    preset: Preset = "pretrain",
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
    """Pre-train ViLBERT on image captions: masked words, masked regions, alignment.

    Regions that overlap a masked one are masked along, and only aligned pairs train the masked losses.

    Examples:

      vlmt pretrain --gpus 8

      vlmt pretrain --set masking.neighbours=false --run runs/pretrain-no-overlap
    """
    from vlmt_cli.commands.train import launch

    folder = run or runs_folder(data) / Path(preset).stem
    launch(
        preset,
        {},
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
