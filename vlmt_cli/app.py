"""The ``vlmt`` command: one line a command; nothing heavy is imported before a command runs."""

import atexit
import errno
import gc
import multiprocessing
import os
import signal
import sys
import time
import traceback
from typing import Annotated, Any, NoReturn

import typer

from vlmt_cli import BEGAN
from vlmt_cli.base import stages
from vlmt_cli.base.errors import VlmtError
from vlmt_cli.base.processes import is_first
from vlmt_cli.base.words import escaped, printable
from vlmt_cli.commands import (
    analyze,
    clean,
    convert,
    data,
    demo,
    doctor,
    evaluate,
    extract,
    index,
    pack,
    predict,
    pretrain,
    report,
    scan,
    train,
    vgc,
)

stages.seconds_to_start = time.perf_counter() - BEGAN

TRAIN_EXTRA = {
    "h5py",
    "huggingface_hub",
    "lightning_fabric",
    "lmdb",
    "safetensors",
    "spacy",
    "submitit",
    "tokenizers",
    "torch",
    "transformers",
}
"""The modules that ``pip install 'vlmt[train]'`` adds to the core."""

app = typer.Typer(
    name="vlmt",
    help="""12-in-1 multi-task vision and language learning: clean data, training, understanding.

    After vlmt --install-completion, the shell completes commands, options, datasets, tasks and recipes.""",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.command("clean")(clean.clean)
app.add_typer(data.app, name="data")
app.command()(scan.scan)
app.add_typer(index.app, name="index")
app.command("extract")(extract.extract)
app.command("pack")(pack.pack)
app.command("pretrain")(pretrain.pretrain)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.add_typer(analyze.app, name="analyze")
app.command("vgc")(vgc.vgc)
app.command("report")(report.report)
app.command("convert")(convert.convert)
app.command("doctor")(doctor.doctor)


def _show_version(wanted: bool) -> None:
    if wanted:
        from vlmt_cli import __version__

        typer.echo(f"vlmt {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options that stand before or after any command."""


def _command() -> str:
    """Return the command that was given, without its arguments."""
    command: Any = typer.main.get_command(app)
    words = ["vlmt"]
    for argument in sys.argv[1:]:
        if argument not in getattr(command, "commands", {}):
            break
        command = command.commands[argument]
        words.append(argument)
    return " ".join(words)


def _missing_extra(error: Exception) -> str | None:
    """Name the package of the extra ``train`` that is not installed; None where the error is another."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return package if package in TRAIN_EXTRA else None


def _stdout_is_read() -> bool:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return False
    return True


_SHORT = "vlmt: memory is short; use fewer processes or smaller batches, or close other programs"
_ENDED: dict[object, str] = {130: "interrupted", 128 + signal.SIGTERM: "terminated"}


def _terminate(number: int, frame: object) -> NoReturn:
    """End as Ctrl-C does, so that what is half-written is removed. Training takes note of the signal itself."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the second ends at once
    if multiprocessing.parent_process() is not None:  # a worker that was forked from here
        os.kill(os.getpid(), number)
    sys.exit(128 + number)


_PATIENCE = 3.0


def _let_the_first_speak() -> None:
    """Wait, in a process that torchrun or srun started beside the first: if that fails, too, all are ended meanwhile.

    What is wrong for all of them is so said once.
    """
    if not is_first():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(_PATIENCE)


def main() -> None:
    """Run ``vlmt`` and turn every error into one line and an exit code."""
    atexit.register(gc.freeze)  # else Python's end looks for garbage among all that was imported: 0.4 s with torch
    signal.signal(signal.SIGTERM, _terminate)
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    try:
        app(prog_name="vlmt")
    except SystemExit as error:
        if error.code in _ENDED:
            print(f"vlmt: {_ENDED[error.code]}; run the same command again: what was complete is kept", file=sys.stderr)
        raise
    except VlmtError as error:
        if debug:
            traceback.print_exc()
        _let_the_first_speak()
        print(f"vlmt: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except MemoryError:
        if debug:
            raise
        print(_SHORT, file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and not _stdout_is_read():
            sys.stderr.close()  # whoever reads our output has seen enough
            sys.exit(1)
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        if error.errno == errno.ENOSPC:
            print(f"vlmt: {escaped(where)}no space left on the disk; free some and run it again", file=sys.stderr)
            sys.exit(1)
        print(f"vlmt: {escaped(f'{where}{error.strerror or error}')}; --debug shows where", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        if package := _missing_extra(error):
            print(f"vlmt: {_command()} needs {package}: pip install 'vlmt[train]'", file=sys.stderr)
            sys.exit(2)
        if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):  # torch, on the CPU
            print(_SHORT, file=sys.stderr)
            sys.exit(1)
        what = f"{type(error).__name__}: {printable(error, 300)}"
        todo = "report it to the project's issue tracker, with the traceback that --debug shows"
        print(f"vlmt: internal error (please report): {what}; {todo}", file=sys.stderr)
        sys.exit(1)
