"""Mixtures in object stores and on hubs.

Parquet is read where it lies, and of it the columns that name images alone; other files are copied for the run. Of
pictures in folders the names suffice.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pyarrow import fs

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.file_systems import one_line, system_of
from vlmt_cli.base.files import explained
from vlmt_cli.base.image_names import SUFFIXES
from vlmt_cli.mixtures.batch import Source
from vlmt_cli.mixtures.forms import LISTS
from vlmt_cli.mixtures.opening import form_of, sources_of

Progress = Callable[[str, int, int], None]
_BLOCK = 4 << 20
_MAGIC = re.compile(r"[*\[]")  # a question mark begins an address's options


def sources_elsewhere(given: str, form: str | None, into: Path, progress: Progress) -> list[Source]:
    """Return the files of records that an address, of a file, a folder or a glob, stands for.

    Args:
        given: the address; ``file://`` is this machine's.
        form: as in ``sources_of``.
        into: a folder for copies.
        progress: takes a file's name, how many bytes are copied, and of how many.

    Raises:
        DataError: it cannot be read, or is not there.
    """
    with one_line(given):
        system, path, files = _listed(given)
    if isinstance(system, fs.LocalFileSystem):
        return sources_of(path, form)
    if not files:
        raise DataError("there is no such file", where=given, todo="look at the address")
    stay = [info for info in files if _stays(info, files, form)]
    copied = [info for info in files if info not in stay]
    with one_line(given):
        _copy(system, copied, len(files) > 1, into, progress)
    sources = [Source(_below(into, info.path), "parquet") for info in stay]
    if copied:
        local = _below(into, path)
        if local.is_file() and (form or form_of(local)) in LISTS:
            raise DataError("is a list of mixtures", where=given, todo="give the files that it names")
        sources += sources_of(str(local), form)
    scheme = given.partition("://")[0]
    return [replace(each, origin=f"{scheme}://{each.path.relative_to(into).as_posix()}") for each in sources]


def _listed(given: str) -> tuple[fs.FileSystem, str, list[fs.FileInfo]]:
    """Return a file system, the path or pattern there, and the files that it stands for."""
    if magic := _MAGIC.search(given):
        base = given[: magic.start()].rpartition("/")[0]
        system, folder = system_of(base)
        path = folder.rstrip("/") + given[len(base) :]
        fits = re.compile(_pattern(path)).fullmatch
        return system, path, [info for info in _below_folder(system, folder) if fits(info.path)]
    system, path = system_of(given)
    info = system.get_file_info(path)
    return system, path, [info] if info.type == fs.FileType.File else _below_folder(system, path)


def _below_folder(system: fs.FileSystem, folder: str) -> list[fs.FileInfo]:
    if isinstance(system, fs.LocalFileSystem):
        return []
    infos = system.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
    files = [info for info in infos if info.type == fs.FileType.File and not info.base_name.startswith(".")]
    return sorted(files, key=lambda info: str(info.path))


def _pattern(pattern: str) -> str:
    """Translate a glob: ``*`` and ``?`` stay within a folder, ``**/`` goes through all."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    return "".join(
        parts.get(token) or (token.replace("[!", "[^") if token.startswith("[") else re.escape(token))
        for token in tokens
    )


def _stays(info: fs.FileInfo, files: list[fs.FileInfo], form: str | None) -> bool:
    """Whether a file is read where it lies: Parquet that belongs to no other file."""
    path = PurePosixPath(info.path)
    is_alone = path.name != "metadata.parquet" and path.with_suffix(".tar") not in {
        PurePosixPath(each.path) for each in files
    }
    return form in (None, "parquet") and path.suffix == ".parquet" and is_alone


def _copy(system: fs.FileSystem, files: list[fs.FileInfo], is_folder: bool, into: Path, progress: Progress) -> None:
    pictures = {info.path for info in files if is_folder and info.path.lower().endswith(SUFFIXES)}
    total, done = sum(info.size or 0 for info in files if info.path not in pictures), 0
    for info in files:
        to = _below(into, info.path)
        with explained(to):
            to.parent.mkdir(parents=True, exist_ok=True)
            with open(to, "wb") as copy:
                if info.path in pictures:
                    continue
                with system.open_input_stream(info.path, compression=None) as file:
                    while block := file.read(_BLOCK):
                        copy.write(block)
                        done += len(block)
                        progress(info.base_name, done, total)


def _below(into: Path, path: str) -> Path:
    parts = PurePosixPath(path.lstrip("/")).parts
    if ".." in parts:
        raise DataError("climbs out of its folder", where=path, todo="give its address without ..")
    return into.joinpath(*parts)
