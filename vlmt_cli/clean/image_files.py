"""Image files on disk, and which image each one is by its official name."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.image_names import SUFFIXES, image_key_of
from vlmt_cli.base.keys import SOURCES


class ImageFile(NamedTuple):
    image: str  # the image key
    path: str


class Damaged(NamedTuple):
    path: str
    reason: str


# What a bare number means by the folder that it lies in; GQA's numbers are Visual Genome's.
_FOLDERS = (
    (re.compile(r"vg_100k(?:_2)?|vg|gqa"), "vg"),
    (re.compile(r"flickr30k.*"), "flickr30k"),
    (re.compile(r"(?:train|val|test)20\d\d|coco"), "coco"),
    (re.compile(r"cc.*"), "cc"),
)


def image_files(folders: Sequence[str]) -> tuple[list[ImageFile], list[Damaged]]:
    """Find the image files of some folders and name each one's image by its official file name.

    Args:
        folders: ``DIR`` or ``source=DIR``; the source is what a bare number as file
            name means there, where the name of the folder does not say it.

    Returns:
        The files in the order of their paths, each once, subfolders included; and what
        was passed over: links that lead out of their folder, folders that cannot be read.

    Raises:
        UsageError: a file's name does not say which image it is, or a source is unknown.
        DataError: a folder is missing or has no image file.
    """
    found: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for folder in folders:
        source, root = _source_and_root(folder)
        is_empty = True
        for path, problem in _walk(root):
            is_empty = False
            if problem:
                skipped[_printable(path)] = problem
            else:
                found[str(path)] = _image_key(path, root, source)
        if is_empty:
            raise DataError("has no image files", where=root, todo=f"name a folder with {', '.join(SUFFIXES)} files")
    files = [ImageFile(found[path], path) for path in sorted(found)]
    return files, [Damaged(path, skipped[path]) for path in sorted(skipped)]


def _source_and_root(folder: str) -> tuple[str | None, Path]:
    source, equals, name = folder.partition("=")
    if not equals or not re.fullmatch(r"[a-z0-9]+", source):
        source, name = "", folder
    elif source not in SOURCES:
        raise UsageError(f"{source!r} is no image source", where=folder, todo=f"choose from {', '.join(SOURCES)}")
    if not Path(name).is_dir():
        raise DataError("no such folder", where=name, todo="name a folder of image files")
    return source or None, Path(name).resolve()


def _walk(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield every image file below a folder with "", and what is passed over with the reason."""
    refused: list[OSError] = []
    for here, folders, names in os.walk(root, onerror=refused.append):
        images = [Path(here, name) for name in names if name.lower().endswith(SUFFIXES)]
        for path in (*images, *(Path(here, name) for name in folders if Path(here, name).is_symlink())):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                yield path, "a link that leads out of the folder"
            elif _printable(path) != str(path):
                yield path, "a name that is not UTF-8"
            elif not path.is_dir():
                yield path, ""
    for error in refused:
        yield Path(error.filename), f"cannot be read ({error.strerror})"


def _printable(path: Path) -> str:
    return str(path).encode(errors="backslashreplace").decode()


def _image_key(path: Path, root: Path, source: str | None) -> str:
    if key := image_key_of(path.name, source or _source_of_folder(path, root), path):
        return key
    raise UsageError(
        "the file's name does not say which image it is",
        where=path,
        todo=f"write source=DIR with a source of {', '.join(SOURCES)}, such as vg={path.parent}, "
        "and keep other images out of that folder",
    )


def _source_of_folder(path: Path, root: Path) -> str | None:
    inside = path.relative_to(root).parts[:-1]
    for name in (*reversed(inside), root.name):
        for pattern, source in _FOLDERS:
            if pattern.fullmatch(name.lower()):
                return source
    return None
