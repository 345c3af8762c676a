"""Image files on disk, and which image each one is by its official name.

A file counts as an image by what it holds: people's photos are also named ``1.tif``, ``2.jfif``, ``3.jpg.1`` or
``1620893517``. Whatever is passed over is returned with the reason.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.image_names import SUFFIXES, image_key_of
from vlmt_cli.base.keys import SOURCES, right_source


class ImageFile(NamedTuple):
    image: str  # the image key
    path: str


class DamagedImage(NamedTuple):
    path: str
    reason: str


NOT_AN_IMAGE = "not an image"
NOT_NAMED = "the file's name does not say which image it is"
_NOT_DECODED = "in a format that is not decoded"
_LEADS_OUT = "a link that leads out of the folder"

# What a bare number means by the folder that it lies in; GQA's numbers are Visual Genome's.
_FOLDERS = (
    (re.compile(r"vg_100k(?:_2)?|vg|gqa"), "vg"),
    (re.compile(r"flickr30k.*"), "flickr30k"),
    (re.compile(r"(?:train|val|test)20\d\d|coco"), "coco"),
    (re.compile(r"cc.*"), "cc"),
)
# 1.jpg, and what downloaders and browsers make of it: 1.jpg.1, 1.jpg~, 1.jpg?size=large.
_IMAGE_SUFFIX = re.compile(rf"(?:{'|'.join(map(re.escape, SUFFIXES))})(?![a-z0-9]).*", re.IGNORECASE)
_SYSTEM_FILES = (".ds_store", "thumbs.db", "desktop.ini")
# Drawings and documents that are text.
_PICTURES_IN_TEXT = re.compile(rb"<svg|\A%PDF|\A%!PS")


def image_files(folders: Sequence[str]) -> tuple[list[ImageFile], list[DamagedImage]]:
    """Find the image files of some folders and name each one's image by its official file name.

    Args:
        folders: ``DIR`` or ``source=DIR``; the source is what a bare number as file
            name means there, where the name of the folder does not say it.

    Returns:
        The files in the order of their paths, each once, subfolders included; and what was passed over, with the
        reason: links that lead out of their folder, folders that cannot be read, files that are not images
        (``NOT_AN_IMAGE``), images whose name does not say which they are (``NOT_NAMED``).

    Raises:
        UsageError: no file name in a folder says which image it is, or a source is unknown.
        DataError: a folder is missing or has no image file.
    """
    file_of: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for folder in folders:
        source, root = _source_and_root(folder)
        named, passed = _look_through(root, source)
        unnamed = [path for path, reason in passed.items() if reason == NOT_NAMED]
        if unnamed and not named:
            todo = f"write source=DIR with a source of {', '.join(SOURCES)}, such as vg={Path(unnamed[0]).parent}"
            raise UsageError(NOT_NAMED, where=unnamed[0], todo=f"{todo}, or name the files as the datasets do")
        if not named and all(reason == NOT_AN_IMAGE for reason in passed.values()):
            raise DataError("has no image files", where=root, todo="name a folder of photos")
        file_of |= named
        skipped |= passed
    files = [ImageFile(file_of[path], path) for path in sorted(file_of)]
    return files, [DamagedImage(path, skipped[path]) for path in sorted(skipped.keys() - file_of.keys())]


def _source_and_root(folder: str) -> tuple[str | None, Path]:
    source, equals, name = folder.partition("=")
    if not equals or not re.fullmatch(r"[a-z][a-z0-9_]*", source):
        source, name = "", folder
    elif todo := right_source(source):
        raise UsageError(f"{source!r} is not an image source", where=folder, todo=todo)
    if not Path(name).is_dir():
        raise DataError("no such folder", where=name, todo="name a folder of image files")
    return source or None, Path(name).resolve()


def _look_through(root: Path, source: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """Return the image key of every image file below a folder, and the reason for everything else."""
    named: dict[str, str] = {}
    passed: dict[str, str] = {}
    for path, problem in _walk(root):
        key = None if problem else _image_key(path, root, source)
        if key is None:
            passed[_as_utf8(path)] = problem or NOT_NAMED
        else:
            named[str(path)] = key
    return named, passed


def _walk(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield every image file below a folder with "", and what is passed over with the reason."""
    refused: list[OSError] = []
    for here, folders, names in os.walk(root, onerror=refused.append):
        for path in (Path(here, name) for name in folders):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                yield path, _LEADS_OUT
        for name in names:
            yield Path(here, name), _problem(Path(here, name), root)
    for error in refused:
        yield Path(error.filename), f"cannot be read ({error.strerror})"


def _problem(path: Path, root: Path) -> str:
    """Say why a file is not taken for an image that can be opened; "" where it is."""
    from vlmt_cli.base.images import is_image  # imported here: naming the reasons needs no Pillow

    if _as_utf8(path) != str(path):
        return "a name that is not UTF-8"
    try:
        is_regular = S_ISREG(path.stat().st_mode)
    except OSError as error:  # a link in a circle, or to nothing
        return f"cannot be read ({error.strerror})"
    if not is_regular:  # opening a pipe would wait for ever
        return "not a regular file"
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        return _LEADS_OUT
    if path.name.lower() in _SYSTEM_FILES or path.name.startswith("._"):
        return NOT_AN_IMAGE
    if _IMAGE_SUFFIX.search(path.name) or is_image(str(path)):
        return ""
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return NOT_AN_IMAGE if _is_text(head) and not _PICTURES_IN_TEXT.search(head) else _NOT_DECODED


def _is_text(head: bytes) -> bool:
    """Return whether a file that begins so is text, or empty. An archive may hold images; text does not."""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and b"\0" not in head  # cut within a letter
    return b"\0" not in head


def _as_utf8(path: Path) -> str:
    return str(path).encode(errors="backslashreplace").decode()


def _image_key(path: Path, root: Path, source: str | None) -> str | None:
    source = source or _source_of_folder(path, root)
    for name in dict.fromkeys((_IMAGE_SUFFIX.sub("", path.name), path.stem)):
        try:
            if key := image_key_of(name, source, path):
                return key
        except DataError:
            continue
    return None


def _source_of_folder(path: Path, root: Path) -> str | None:
    inside = path.relative_to(root).parts[:-1]
    for name in (*reversed(inside), root.name):
        for pattern, source in _FOLDERS:
            if pattern.fullmatch(name.lower()):
                return source
    return None
