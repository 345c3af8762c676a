"""The question of ``vlmt clean``, which is its options and files, against that of the existing split."""

import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmt_cli.clean.question import CleanQuestion, ExistingSplit, ImageFiles, ImageList, Mixture
    from vlmt_cli.clean.splits import Split
    from vlmt_cli.datasets.options import Options


def question_of(
    names: list[str],
    identity: str,
    options: "Options",
    lists: "list[ImageList]",
    files: "ImageFiles | None",
    mixtures: "Sequence[Mixture]" = (),
) -> "CleanQuestion":
    """Return the question that the options ask."""
    from vlmt_cli.clean.question import CleanQuestion, options_for
    from vlmt_cli.datasets.table import DATASETS

    return CleanQuestion(
        datasets=names,
        identity=identity,
        options=options_for(names, list(DATASETS), options.model_dump(mode="json"), files is not None),
        image_lists=lists,
        image_files=files,
        mixtures=list(mixtures),
    )


def image_files_of(folders: list[str], verdicts: Path | None) -> "ImageFiles":
    """Say which image files are compared, and by whose verdicts."""
    from vlmt_cli.clean.question import ImageFiles, list_hash

    return ImageFiles(
        folders=[_absolute(folder) for folder in folders],
        verdicts=str(verdicts.absolute()) if verdicts else None,
        verdicts_sha256=list_hash(verdicts) if verdicts else None,
    )


def refuse_contradiction(
    folder: Path,
    names: list[str] | None,
    identity: str | None,
    options: "Options | None",
    lists: "list[ImageList]",
    files: "ImageFiles | None",
    mixtures: "list[Mixture]",
) -> None:
    """Refuse to check a split with other options than it was made with, which its report states.

    Raises:
        UsageError: what the command line gives is not what the split was asked for.
        DataError: there is no split, or it is of an older vlmt.
    """
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.clean.question import differences
    from vlmt_cli.clean.split_folder import read_report

    question = read_report(folder).question
    given = {
        "datasets": names,
        "identity": identity,
        "image_lists": lists or None,
        "image_files": files,
        "mixtures": mixtures or None,
    }
    asked = question.model_copy(update={name: value for name, value in given.items() if value is not None})
    if options:
        own = question_of(asked.datasets, asked.identity, options, [], asked.image_files).options
        asked = asked.model_copy(update={"options": own})
    if different := differences(question, asked):
        what = f"--check looks at what the split was made for, and this {', '.join(different)}"
        todo = "give --check alone; --dry-run instead of --check shows what another question would give"
        raise UsageError(what, where=folder, todo=todo)


def _absolute(folder: str) -> str:
    """Return ``FOLDER`` or ``source=FOLDER`` with a path that holds from everywhere."""
    source, equals, path = folder.rpartition("=")
    return f"{source}{equals}{Path(path).absolute()}"


def widened(data: Path, to: Path | None, asked: "CleanQuestion", replace: bool) -> "CleanQuestion":
    """Refuse to replace a split that was made with other options, unless ``replace`` says so.

    Returns:
        The question, with the datasets that the split has beside those asked for without a test set, and, unless it is
        to be replaced, with its other mixtures: what is kept of the datasets does not depend on these.

    Raises:
        UsageError: the existing split was made with other options, or the folder holds something else.
    """
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.clean.question import differences, read_answer
    from vlmt_cli.commands.show import say
    from vlmt_cli.datasets.official import all_datasets, raw_files

    target = to or data / "clean"
    if to and to.resolve() == (data / "clean").resolve():
        raise UsageError("is the split that training reads", where=to, todo="leave --to out, or name another folder")
    is_split = not to or not to.exists() or (to / "report.json").exists()
    if to and not is_split and (not to.is_dir() or any(entry.name != "examples" for entry in to.iterdir())):
        raise UsageError("holds other files", where=to, todo="name a new folder with --to")
    previous = read_answer(target)
    if previous is None:
        return asked
    known = all_datasets().keys()
    more = [name for name in previous.only_trained_on if name in known and name not in asked.datasets]
    if replace:  # where its files are gone, there is nothing to keep
        more = [name for name in more if raw_files(data, name)]
    had = previous.question.mixtures  # a mixture more replaces nothing
    named = {each.name for each in asked.mixtures}
    others = [] if replace or not had else _still_there(each for each in had if each.name not in named)
    wider = asked.model_copy(update={"datasets": [*asked.datasets, *more], "mixtures": [*others, *asked.mixtures]})
    added = [each for each in wider.mixtures if each.name not in {mixture.name for mixture in had}]
    before = previous.question.model_copy(update={"mixtures": [*had, *added]})
    if not replace and (different := differences(before, wider)):
        raise _other_question(data, target, previous, different)
    if more:
        say(f"Kept in the split, having no test set: {', '.join(more)}")
    if others:
        what = "a mixture" if len(others) == 1 else "mixtures"
        say(f"Kept beside the split, as {what}: {', '.join(each.name for each in others)} (--replace leaves it out)")
    return wider


def _still_there(mixtures: "Iterable[Mixture]") -> "list[Mixture]":
    """Return those mixtures whose file can be read, with the hash that it has now."""
    from vlmt_cli.base.errors import VlmtError
    from vlmt_cli.clean.image_lists import hash_of  # which knows every form of mixture

    there = []
    for each in mixtures:
        with suppress(VlmtError):
            there.append(each.model_copy(update={"sha256": hash_of(each.path)}))
    return there


def command_of(asked: "CleanQuestion", available: bool, to: Path | None = None) -> str:
    """Return the command that asks a question again, all but the data folder."""
    from vlmt_cli.clean.question import flat
    from vlmt_cli.datasets.options import Options
    from vlmt_cli.datasets.table import TWELVE

    rest = [name for name in asked.datasets if name not in TWELVE]
    names = ["all", *rest] if set(TWELVE) <= set(asked.datasets) else asked.datasets
    words = ["vlmt", "clean", "--datasets", ",".join(names)]
    words += ["--available"] if available else []
    words += [] if asked.identity == "strict" else ["--identity", asked.identity]
    usual = flat(Options().model_dump(mode="json"))
    for key, value in flat(asked.options or {}).items():
        words += ["--set", f"{key}={value}"] if usual.get(key) != value else []
    for image_list in asked.image_lists:
        source = f":{image_list.source}" if image_list.source else ""
        words += ["--image-list", f"{image_list.name}:{image_list.role}{source}={image_list.path}"]
    for mixture in asked.mixtures:
        words += ["--mixture", f"{mixture.name}{f':{mixture.source}' if mixture.source else ''}={mixture.path}"]
    if asked.image_files:
        words += ["--near-duplicates", *asked.image_files.folders]
        words += ["--verdicts", asked.image_files.verdicts] if asked.image_files.verdicts else []
    return shlex.join([*words, *(["--to", str(to)] if to else [])])


def _other_question(data: Path, target: Path, previous: "ExistingSplit", different: list[str]) -> Exception:
    """Return the error that says in what a question differs, and which split its answer would replace."""
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.base.words import count

    runs = _runs_trained_on(previous.split_hash, data)
    named = f"{', '.join(runs[:3])}{', ...' if runs[3:] else ''}"
    trained = f", which {count(len(runs), 'run was', 'runs were')} trained on ({named})" if runs else ""
    what = f"holds split {previous.split_hash[:16]}{trained}, and this command {', '.join(different)}"
    number = 2
    while (free := target.with_name(f"{target.name}-{number}")).exists():
        number += 1
    elsewhere = f"write the new one elsewhere with --to {shlex.quote(str(free))}, which training does not read"
    todo = f"replace it with --replace, or {elsewhere}"
    return UsageError(what, where=target, todo=todo)


def _runs_trained_on(split_hash: str, data: Path) -> list[str]:
    """Return the runs beside the data, and here, whose lineage names a split; the best weights of a run are not one."""
    from vlmt_cli.runs.best import BEST

    folders = dict.fromkeys(path.resolve() for path in (data / "runs", Path("runs")))
    files = [path for folder in folders for pattern in ("*", "*/*") for path in folder.glob(f"{pattern}/lineage.json")]
    trained = [path.parent for path in sorted(files) if split_hash in path.read_text(errors="replace")]
    return [run.name for run in trained if not (run.name == BEST and run.parent in trained)]


def refuse_to_lose(data: Path, target: Path, splits: "list[Split]") -> None:
    """Refuse to replace a split by one that lacks some of its datasets' splits, as their files are gone.

    Raises:
        UsageError: it would.
    """
    from vlmt_cli.clean.question import read_answer

    previous = read_answer(target)
    now = {(split.dataset, split.name) for split in splits}
    if previous and (
        lost := [f"{dataset} {split}" for dataset, split in previous.roles if (dataset, split) not in now]
    ):
        raise _other_question(data, target, previous, [f"leaves out {', '.join(lost)}, whose files are gone"])
