"""``vlmt pretrain``: Conceptual Captions to the model that task training starts from."""

from pathlib import Path

from vlmt_cli.commands.options import RecipeName, grouped
from vlmt_cli.commands.train import TrainingOptions, launch


@grouped
def pretrain(recipe: RecipeName = "pretrain", *, options: TrainingOptions) -> None:
    """Pre-train a trunk on image captions: masked words, masked regions, alignment.

    Regions that overlap a masked one are masked along, and only aligned pairs train the masked losses.

    Examples:

      vlmt pretrain --gpus 8

      vlmt pretrain --preset pretrain-lxmert --gpus 8

      vlmt pretrain --preset pretrain-overlapping --run runs/pretrain-overlapping
    """
    launch(recipe, Path(recipe).stem, {}, options)
