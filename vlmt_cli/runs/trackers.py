"""Other places that a run's metrics go to, where a recipe asks for them: tensorboard, wandb."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vlmt_cli.base.errors import UsageError

Tracker = Callable[[dict[str, Any]], None]


def numbers_of(record: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a line of metrics that belong to a task, by ``kind/task/name``."""
    if "task" not in record:
        return {}
    return {
        f"{record['kind']}/{record['task']}/{name}": float(value)
        for name, value in record.items()
        if name != "iteration" and isinstance(value, int | float)
    }


def tensorboard_tracker(run: Path) -> Tracker:
    """Write event files into ``<run>/tensorboard``. Raises a UsageError when tensorboard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError("tensorboard is not installed", todo="install it with pip install tensorboard") from error
    writer: Any = SummaryWriter(str(run / "tensorboard"))

    def track(record: dict[str, Any]) -> None:
        for name, value in numbers_of(record).items():
            writer.add_scalar(name, value, record["iteration"])
        if record["kind"] in ("save", "end"):
            writer.flush()

    return track


def wandb_tracker(run: Path, recipe: dict[str, Any]) -> Tracker:
    """Log to Weights & Biases, as its own settings say. Raises a UsageError when wandb is not installed."""
    try:
        import wandb  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise UsageError("wandb is not installed", todo="install it with pip install wandb") from error
    session: Any = wandb.init(project="vlmt", name=run.name, config=recipe, dir=str(run), resume="allow")

    def track(record: dict[str, Any]) -> None:
        if numbers := numbers_of(record):
            session.log(numbers, step=record["iteration"])
        if record["kind"] == "end":
            session.finish()

    return track
