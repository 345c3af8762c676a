"""From what a user gives, a file, a glob, a folder or a list, to the files of records that it means.

What a file is, its content says; ``form`` overrules it. Lists are followed, and lists in lists.
"""

import glob
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vlmt_cli.base.beginnings import beginning
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.file_systems import is_elsewhere
from vlmt_cli.base.image_names import SUFFIXES
from vlmt_cli.base.packed import open_packed
from vlmt_cli.base.words import listed, printable, quoted
from vlmt_cli.mixtures.arrow_folder import DESCRIPTIONS
from vlmt_cli.mixtures.batch import Form, ListForm, Source
from vlmt_cli.mixtures.datacomp import SUBSET
from vlmt_cli.mixtures.forms import FORMS, LISTS
from vlmt_cli.mixtures.image_list import unnamed_line
from vlmt_cli.mixtures.json_records import LINES
from vlmt_cli.mixtures.lists import YAML

_HEAD = 1 << 16
_RECORDS = (".json", *LINES, ".parquet", ".arrow", ".tar", ".tgz", ".csv", ".tsv", ".npy")
"""How files end that hold records, whatever else lies beside them."""
_BESIDE = (SUBSET, "dataset_infos.json")
"""Files beside records that have none: uids of the tables beside them, and what a hub says of a dataset."""
_LISTS = (".yaml", ".yml", ".txt")
"""How files end that may list files of records, or images."""
_KINDS = {"image_folder": ("images", "the images are"), "arrow": ("a saved dataset", "that dataset is")}
"""Forms of folders, in words."""
_ALIKE = (
    dict.fromkeys(("coco", "llava", "messages", "records", *LISTS), "JSON")
    | dict.fromkeys(("webdataset", "img2dataset"), "tar")
    | dict.fromkeys(("table", "image_list"), "text")
)
"""Forms that a file may be of at once."""
_LONGEST = 1000
"""Letters of a path that is to be given."""
_DEEPEST = 30
"""Lists that name each other in a row."""
_OTHER = (".zst", ".bz2", ".xz", ".zip", ".7z", ".lz4")


def sources_of(given: str, form: str | None = None) -> list[Source]:
    """Return the files of records that a path, a glob or a list stands for, in order.

    Args:
        given: a path; ``*``, ``?`` and ``**`` are a glob where no file has that name.
        form: a key of ``FORMS``, or of ``LISTS``; None to tell by the content.

    Raises:
        DataError: a file is missing, or of no form; a list names itself.
        UsageError: there is no such form.
    """
    if form is not None and form not in FORMS and form not in LISTS:
        raise UsageError(f"there is no form {quoted(form)}", todo=f"take {listed([*FORMS, *LISTS])}")
    sources = []
    for path in paths_of(given, form):
        name = form or form_of(path)
        if form is not None:
            _check_form(path, form)
        sources += _members(path, name, ()) if name in LISTS else [Source(path, name)]
    return sources


def _check_form(path: Path, form: str) -> None:
    """Refuse a form that a file cannot be of, as Parquet is not JSON; where it could be either, what is given holds."""
    if path.is_dir() or form == "image_folder" or not (head := _head(path)):
        return
    try:
        told = form_of(path)
    except DataError:
        return  # which its reader says
    every: dict[str, ListForm | Form] = {**LISTS, **FORMS}
    if _ALIKE.get(told, told) != _ALIKE.get(form, form) and not every[form].is_form(path, head):
        what = f"is not of the form {form}: by its content it is {every[told].title}"
        raise DataError(what, where=path, todo=f"leave --form out, or say --form {told}")


def form_of(path: Path) -> str:
    """Return the form of a file or a folder, by its content.

    Raises:
        DataError: it is missing, or of no form; the message says what it is instead, where that can be told.
    """
    head = b"" if path.is_dir() else _head(path)
    if not path.is_dir() and not head:
        name = path.name.removesuffix(".gz")
        if name.endswith((".json", *LINES)):
            return "records"  # what is left of a file all of whose records went
        if name.endswith((".txt", ".csv", ".tsv")):
            return "image_list"
        raise DataError("is empty", where=path, todo="get the file again")
    if (said := beginning(head)) and not head.startswith(b"PAR1"):
        raise DataError(said[0], where=path, todo=said[1])
    every: dict[str, ListForm | Form] = {**LISTS, **FORMS}
    for name, form in every.items():
        if form.is_form(path, head):
            return name
    if path.suffix in YAML:
        what = "is not a known list of files of records: those have json_path, annotation_path, or path and source"
        raise DataError(what, where=path, todo="give the files of records that it names by themselves")
    todo, what = f"say what it is with --form {', '.join(FORMS)}", "is not a mixture of a known form"
    if not path.is_dir() and head.lstrip()[:1] not in (b"{", b"[", b"<") and (line := unnamed_line(head)):
        todo = f"if it is a list of images, say --form image_list, which counts that line; otherwise {todo}"
        what += f" (line {line[0]}, {quoted(line[1])}, names no image)"
    raise DataError(what, where=path, todo=todo)


def paths_of(given: str, form: str | None = None) -> list[Path]:
    """Return the files, lists and folders of one form that a path or a glob stands for."""
    path = Path(given).expanduser()
    if path.is_dir():
        return [path] if form in FORMS and FORMS[form].is_form(path, b"") else _below(path)
    if path.exists():
        return [path]
    if is_elsewhere(given):
        todo = "copy it here first; vlmt scan reads it there"
        raise DataError("lies elsewhere, and is not opened from there", where=given, todo=todo)
    if glob.has_magic(given):
        companions: set[Path] = set()
        paths = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207  a pattern's own root
        paths = [each for each in paths if each.is_file() or "**" not in given]
        for each in paths:
            companions.update(_companions(each))
        if paths:
            return [each for each in paths if each not in companions]
        raise DataError("matches no file", where=given, todo="quote the pattern, and look at the folder")
    raise DataError("there is no such file", where=given, todo="check the path")


def _below(folder: Path) -> list[Path]:
    """Return a folder that is a mixture itself, or else the files and saved datasets in it that are."""
    name = next((name for name, form in FORMS.items() if form.is_form(folder, b"")), None)
    if name is not None:
        holds, meant = _KINDS[name]
        if beside := list(_records_beside(folder, name)):
            first = quoted(beside[0].relative_to(folder))
            many = f"{len(beside):,} files of records, as {first}"
            what = many if len(beside) > 1 else f"a file of records, {first}"
            todo = f"give {printable(beside[0], _LONGEST) if len(beside) == 1 else 'those files'}"
            todo += f", or say --form {name} where {meant} meant"
            raise DataError(f"holds {holds} and {what}", where=folder, todo=todo)
        return [folder]
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _is_hidden(path.relative_to(folder))]
    saved = {inner for inner in {path.parent for path in files} if FORMS["arrow"].is_form(inner, b"")}
    saved = {path for path in saved if not saved.intersection(path.parents)}
    within = {path for inner in saved for path in _records_beside(inner, "arrow")}
    files = [path for path in files if path in within or not saved.intersection(path.parents)]
    files = [path for path in files if path.name not in _BESIDE]
    companions = {companion for path in files for companion in _companions(path)}
    known = []
    for path in files:
        try:
            if path not in companions:
                form_of(path)
                known.append(path)
        except DataError:
            if _is_of_records(path.name):
                raise  # damaged, and not another kind of file
    if not known and not saved:
        raise DataError("holds no file of a known form", where=folder, todo="give the files themselves")
    members = {
        source.path.resolve() for path in known if _is_list(path) for source in _members(path, form_of(path), ())
    }
    return [path for path in sorted([*known, *saved]) if path.resolve() not in members]


def _records_beside(folder: Path, name: str) -> Iterator[Path]:
    """Give the files of records below a folder of a form that takes no notice of them: they would be passed over.

    A file that has an image's name, as captions have, belongs to that image.
    """
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        few = [each for each in files if _may_have_records(each)]
        if name == "arrow":
            few = [each for each in few if not each.endswith(".arrow") and each not in DESCRIPTIONS]
        if few:
            images = {each.rpartition(".")[0] for each in files if each.lower().endswith(SUFFIXES)}
            few = [each for each in few if each.partition(".")[0] not in images]
        yield from (Path(parent, each) for each in sorted(few) if _is_of_records(each) or _lists(Path(parent, each)))


def _may_have_records(name: str) -> bool:
    return not name.startswith(".") and (_is_of_records(name) or name.endswith(_LISTS))


def _lists(path: Path) -> bool:
    """Whether a YAML names files of records, or a text file images."""
    try:
        form = form_of(path)
    except (DataError, OSError):
        return False
    return form in LISTS if path.suffix != ".txt" else form == "image_list" and bool(_head(path).strip())


def _is_of_records(name: str) -> bool:
    """Whether a file has records of its own by its name, and is not a table of metadata of the images beside it."""
    is_beside = name in _BESIDE or name.startswith("metadata.")
    for suffix in (".gz", *_OTHER):
        name = name.removesuffix(suffix)
    return name.endswith(_RECORDS) and not is_beside


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _is_list(path: Path) -> bool:
    head = _head(path)
    return any(form.is_form(path, head) for form in LISTS.values())


def _companions(path: Path) -> list[Path]:
    if not path.is_file():
        return []
    head = _head(path)
    return next((form.companions(path) for form in FORMS.values() if form.is_form(path, head)), [])


def _members(path: Path, form: str, above: tuple[Path, ...]) -> list[Source]:
    """Return the files that a list names, and those of the lists among them."""
    here = path.resolve()
    if here in above:
        todo = "take it out of one of the lists"
        raise DataError(f"names itself, over {listed([each.name for each in above])}", where=path, todo=todo)
    if len(above) > _DEEPEST:
        raise DataError(f"is a list in a list, {_DEEPEST} times over", where=path, todo="name its files in one list")
    sources: list[Source] = []
    members = LISTS[form].members(path)
    if not members:
        raise DataError("names no file of records here", where=path, todo="add one, or say another form with --form")
    for member in members:
        for each in _meant_by(member.path):
            name = form_of(each)
            if name in LISTS:
                sources += _members(each, name, (*above, here))
            else:
                sources.append(replace(member, path=each, form=name))
    return sources


def _meant_by(path: Path) -> list[Path]:
    """Return what a list means that names a path: of a folder all files of records in it, or the folder itself."""
    if not path.is_dir() or FORMS["arrow"].is_form(path, b""):
        return [path]
    files = [each for each in sorted(path.iterdir()) if each.is_file() and not each.name.startswith(".")]
    files = [each for each in files if _is_of_records(each.name) and not _is_list(each)]
    companions = {companion for each in files for companion in _companions(each)}
    return [each for each in files if each not in companions] or _below(path)


def _head(path: Path) -> bytes:
    """Return the first bytes of what a file unpacks to."""
    if path.suffix in _OTHER:
        raise DataError(f"is packed as {path.suffix}", where=path, todo="unpack it, or pack it with gzip")
    with open_packed(path) as file:
        return file.read(_HEAD)
