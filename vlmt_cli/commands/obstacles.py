"""What prevents a training on this machine, and one command line that works here instead.

All that can be known without importing torch is looked at before anything runs, so that the advice is whole: who
follows it does not meet the next error.
"""

import shlex
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlmt_cli.base.errors import DataError, UsageError, VlmtError
from vlmt_cli.base.words import too_few_gpus

if TYPE_CHECKING:
    from vlmt_cli.runs.recipe import Recipe

DRAWN = "miniworld.json"
"""What ``vlmt demo`` leaves in the data folder of a synthetic world."""


@dataclass(frozen=True)
class Obstacle:
    """One obstacle.

    Attributes:
        what: is wrong.
        todo: what to do about it alone; None where the command line says it all.
        without: options that the command line must lose, with their values.
        instead: what it gets.
        kind: of error.
        first: what removes it, to be done before the command line works; None where the command line does.
    """

    what: str
    todo: str | None = None
    without: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()
    kind: type[VlmtError] = UsageError
    first: str | None = None


def refuse(obstacles: list[Obstacle], data: Path, scale: str | None) -> None:
    """Raise an error that names all obstacles, with a command line that avoids them."""
    if not obstacles:
        return
    if len(obstacles) == 1 and obstacles[0].todo:
        raise obstacles[0].kind(obstacles[0].what, todo=obstacles[0].todo)
    without = {option for obstacle in obstacles for option in obstacle.without}
    instead = [word for obstacle in obstacles if obstacle.kind is UsageError for word in obstacle.instead]
    instead += fitting(obstacles, data, scale)
    what = obstacles[0].what
    if len(obstacles) > 1:
        numbered = "; ".join(f"({number}) {obstacle.what}" for number, obstacle in enumerate(obstacles, 1))
        what = f"{len(obstacles)} obstacles on this machine: {numbered}"
    then = f"run instead: {command(without, instead)}" if without or instead else "run this command again"
    raise obstacles[0].kind(what, todo=f"{before(obstacles)}{then}")


def before(obstacles: Sequence[Obstacle]) -> str:
    """Say what has to be done before a command line works; empty where nothing has."""
    steps = [obstacle.first for obstacle in obstacles if obstacle.first]
    return f"first {'; then '.join(steps)}; then " if steps else ""


def fitting(obstacles: Sequence[Obstacle], data: Path, scale: str | None) -> list[str]:
    """The options that let a training begin without what it lacks; on a synthetic world, those of its scale."""
    if scale is None and (data / DRAWN).exists():
        return ["--scale", "mini"]
    return [word for obstacle in obstacles if obstacle.kind is DataError for word in obstacle.instead]


def no_gpus(asked: int) -> Obstacle:
    """There are no GPUs."""
    import os

    return Obstacle(too_few_gpus(asked, 0), None, ("--gpus", "--device"), on_cpu(min(asked, os.cpu_count() or 1)))


def on_cpu(processes: int) -> tuple[str, ...]:
    """The options that compute on the CPU."""
    return ("--device", "cpu", "--processes", str(processes))


def run_exists(run: Path) -> Obstacle:
    """The folder holds a run already."""
    free = next(path for number in range(2, 1 << 20) if not (path := run.with_name(f"{run.name}-{number}")).exists())
    todo = "resume it with --resume, or name another folder with --run"
    return Obstacle(f"{run}: holds a run already", todo, ("--run",), ("--run", str(free)))


def out_of_reach(recipe: "Recipe", runs: Path) -> Obstacle | None:
    """BERT's weights or tokenizer are neither here nor on the hub; None where both can be had.

    Raises:
        DataError: a file of a tokenizer is named, and does not exist.
    """
    from vlmt_cli.base.hub import reach

    model = recipe.model.settled()
    wanted = {model.bert: "config.json", model.tokenizer: "tokenizer.json"}
    absent = {source: name for source, name in wanted.items() if source is not None and not Path(source).exists()}
    for source in absent:
        if source.endswith((".json", ".txt")):
            raise DataError("there is no such file", where=source, todo="name one that exists")
    for source, name in absent.items():
        try:
            reach(source, name)
        except ImportError:
            raise
        except Exception as error:  # the hub client, its network client and its validators each have their own
            reason = " ".join(str(error).split())[:120]
            break
    else:
        return None
    instead: tuple[str, ...] = ()
    if model.bert in absent:
        instead += ("--set", "model.bert=null")
    if model.tokenizer in absent:  # null takes the words of the training texts
        vocabulary = next((str(path) for path in sorted(runs.glob("*/tokenizer.json"))), "null")
        instead += ("--set", f"model.tokenizer={vocabulary}")
    what = (
        f"{source} is neither a folder here nor available from the hub ({reason}); start from random weights, or name a"
        " local copy with --set model.bert=FOLDER --set model.tokenizer=FOLDER"
    )
    return Obstacle(what, None, (), instead, DataError)


def command(without: Collection[str], instead: Sequence[str]) -> str:
    """The command line that was given, without some options and with others."""
    kept, words = [], iter(sys.argv[1:])
    for word in words:
        option, equals, _ = word.partition("=")
        if option not in without:
            kept.append(word)
        elif not equals:
            next(words, None)
    return shlex.join(["vlmt", *kept, *instead])
