"""The options of ``vlmt extract --detector vg-x152``, the paper's own detector."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlmt_cli.features.extractor import Extractor

X152 = "vg-x152"
CHOICES = {"mode": ("correct", "faithful"), "precision": ("float32", "bf16")}


@dataclass(frozen=True)
class DetectorOptions:
    """What was given of them; None stands for the default."""

    weights: Path | None
    config: Path | None
    mode: str | None
    precision: str | None


def store_name(options: DetectorOptions, boxes: str | None) -> str:
    """Name the default store."""
    choices = ((getattr(options, name), usual) for name, (usual, _) in CHOICES.items())
    name = "-".join([X152, *(choice for choice, usual in choices if choice not in (None, usual))])
    return f"{Path(boxes).stem}+{name}" if boxes else name


def refuse_without_it(options: DetectorOptions) -> None:
    """Raise a UsageError where an option was given for another detector."""
    from vlmt_cli.base.errors import UsageError

    for name, value in asdict(options).items():
        if value is not None:
            raise UsageError(f"--{name} is of --detector {X152} alone", todo="leave it out")


def check(options: DetectorOptions, batch: int, in_parts: bool) -> None:
    """Check the options, without reading the weights.

    Args:
        options: what was given.
        batch: photos at a time.
        in_parts: whether photos are shared out among shards, jobs or GPUs.

    Raises:
        UsageError: options are missing, do not exist, or exclude each other.
    """
    from vlmt_cli.base.errors import UsageError

    if options.weights is None:
        raise UsageError(f"--detector {X152} needs its weights", todo="give --weights detectron_model.pth")
    for name, values in CHOICES.items():
        if (value := getattr(options, name)) not in (None, *values):
            raise UsageError(f"there is no {name} {value!r}", todo=f"choose {' or '.join(values)}")
    if options.mode == "faithful" and batch > 1 and in_parts:
        todo = "leave out --batch, or run it on one device without shards"
        raise UsageError("in faithful mode the photos of a batch belong together", todo=todo)


def maker(options: DetectorOptions, has_boxes: bool, regions: int, batch: int) -> "Callable[[str], Extractor]":
    """Read the weights; returns what makes the extractor on a device.

    Args:
        options: what was given, after ``check``.
        has_boxes: whether boxes are given.
        regions: boxes a photo.
        batch: photos at a time.

    Raises:
        DataError: weights or config cannot be read, or do not fit.
    """
    from functools import partial

    from vlmt_cli.base.words import count
    from vlmt_cli.commands.show import say
    from vlmt_cli.features.vg_x152.extractor import vg_x152_extractor
    from vlmt_cli.features.vg_x152.weights import read_released

    assert options.weights is not None
    given = {name: value for name in CHOICES if (value := getattr(options, name)) is not None}
    released = read_released(options.weights, options.config)
    say(f"Config: {released.config_file or 'the known values, as there is no file beside the weights'}")
    if released.surplus:
        surplus = f"{count(len(released.surplus), 'tensor')} of the attribute head: {', '.join(released.surplus)}"
        say(f"Passed over {surplus}")
    return partial(
        vg_x152_extractor,
        weights=options.weights.absolute(),
        config=released.config_file and released.config_file.absolute(),
        has_boxes=has_boxes,
        max_regions=regions,
        batch=batch,
        **given,
    )
