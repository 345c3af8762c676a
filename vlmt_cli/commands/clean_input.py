"""What goes into cleaning: datasets, their official files, image lists."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from vlmt_cli.clean.question import ImageList, Mixture
    from vlmt_cli.clean.splits import Split
    from vlmt_cli.datasets.prepared import Prepared

_NAMED = 3  # addresses, or files, in one line


def names_of(datasets: str) -> list[str]:
    """Return the datasets that ``--datasets`` names; ``all`` stands for the twelve. Raises a UsageError."""
    import difflib

    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.datasets.table import DATASETS, TWELVE

    names: list[str] = []
    for name in (part.strip() for part in datasets.split(",")):
        if name != "all" and name not in DATASETS:
            close = difflib.get_close_matches(name, DATASETS, n=1)
            todo = f"did you mean {close[0]}?" if close else f"choose among all, {', '.join(DATASETS)}"
            raise UsageError(f"there is no dataset {name!r}", todo=todo)
        names += TWELVE if name == "all" else [name]
    return list(dict.fromkeys(names))


def warn_of_copies(data: Path, names: Iterable[str]) -> None:
    """Say where several files are there under the names of one official file, which is read and which passed over."""
    from vlmt_cli.base.words import printable
    from vlmt_cli.commands.show import say
    from vlmt_cli.datasets.official import copies
    from vlmt_cli.datasets.table import CROSSWALKS

    raw, said = data / "raw", dict[Path, Path]()
    for name in (*names, *CROSSWALKS):
        said |= copies(data, name)
    for path, read in said.items():
        taken, other = (printable(each.relative_to(raw), 200) for each in (read, path))
        what = f"{taken} is read, and {other} passed over, as both have names of one official file"
        say(f"Warning: {what}; remove one of them")


def require_files(data: Path, names: list[str], available: bool) -> list[str]:
    """Return the missing official files, and say which files below ``raw/`` are not read.

    Raises:
        DataError: files are missing, and it was not said to do with what is ``available``.
    """
    from vlmt_cli.base.errors import DataError
    from vlmt_cli.base.words import be, count
    from vlmt_cli.commands.show import say
    from vlmt_cli.datasets.official import addresses, missing_files

    raw = require_raw(data)
    missing = [file for name in names for file in missing_files(data, name)]
    if missing and not available:
        origin = {file: address for name in names for file, address in addresses(data, name).items()}
        pages = list(dict.fromkeys(origin[file] for file in missing))
        more = f" and {count(len(pages) - _NAMED, 'other address', 'other addresses')}" if len(pages) > _NAMED else ""
        raise DataError(
            f"{count(len(missing), 'official file')} {be(len(missing))} missing: {', '.join(missing)}"
            + "".join(f"; {each}" for each in passed_over(data)),
            where=raw,
            todo=f"download {'it' if len(missing) == 1 else 'them'} from {', '.join(pages[:_NAMED])}{more}"
            " (vlmt data status lists the address of each), or take what is there with --available",
        )
    for each in passed_over(data) if missing else ():
        say(f"Warning: {each}.")
    return missing


def passed_over(data: Path) -> list[str]:
    """Say what the first files below ``raw/`` are that are not read, less those to be left as they are."""
    from vlmt_cli.base.words import be, count, printable
    from vlmt_cli.datasets.unread import UNKNOWN, unread_files

    unread = [each for each in unread_files(data) if not each.todo.startswith("leave it")]
    unread.sort(key=lambda each: each.what == UNKNOWN)
    named = unread[:_NAMED]
    said = [f"{printable(each.path, 200)} is there and not read ({each.what}; {each.todo})" for each in named]
    if more := len(unread) - len(named):
        said.append(f"{count(more, 'other file')} {be(more)} not read (vlmt data status lists them)")
    return said


def require_raw(data: Path) -> Path:
    """Return the folder of official files. Raises a DataError when it is not there."""
    from vlmt_cli.base.errors import DataError

    raw = data / "raw"
    if not raw.is_dir():
        todo = "put the official files below it, or name another data folder with --data"
        raise DataError("there is no such folder", where=raw, todo=todo)
    return raw


def files_of(data: Path, examples: "dict[str, Prepared]") -> dict[str, str]:
    """Return the SHA-256 of every official file that was read, by its path below ``raw/``."""
    from vlmt_cli.datasets.official import raw_folder

    return {
        f"{raw_folder(data, name).name}/{file}": sha256
        for name, tables in examples.items()
        for file, sha256 in tables.manifest.sha256.items()
    }


def parse_image_list(given: str) -> "ImageList":
    """Read ``NAME:ROLE=FILE`` or ``NAME:ROLE:SOURCE=FILE``. Raises a UsageError when it is not of this form."""
    import re

    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.base.keys import right_source
    from vlmt_cli.clean.image_lists import hash_of
    from vlmt_cli.clean.question import ImageList
    from vlmt_cli.clean.splits import ROLES

    names, equals, path = given.partition("=")
    name, role, source = (*names.split(":", 2), "", "")[:3]
    if not (re.fullmatch(r"[\w+.-]+", name) and role and equals):
        todo = "write it as NAME:ROLE=FILE or NAME:ROLE:SOURCE=FILE, NAME in letters, digits and + - . _"
        raise UsageError(f"--image-list {given!r}", todo=todo)
    if role not in ROLES:
        raise UsageError(f"an image list has no role {role!r}", where=path, todo=f"choose one of {', '.join(ROLES)}")
    if source and (todo_source := right_source(source)):
        raise UsageError(f"{source!r} is not an image source", where=given, todo=todo_source)
    return ImageList(name=name, role=role, path=absolute(path), sha256=hash_of(absolute(path)), source=source or None)


def parse_mixture(given: str) -> "Mixture":
    """Read ``NAME=FILE`` or ``NAME:SOURCE=FILE``. Raises a UsageError when it is not of this form."""
    import re

    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.base.keys import right_source
    from vlmt_cli.clean.image_lists import hash_of
    from vlmt_cli.clean.question import Mixture

    names, equals, path = given.partition("=")
    name, _, source = names.partition(":")
    if not (re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}", name) and equals and path):
        todo = "write it as NAME=FILE or NAME:SOURCE=FILE, NAME in letters, digits and + - . _"
        raise UsageError(f"--mixture {given!r}", todo=todo)
    if source and (todo_source := right_source(source)):
        raise UsageError(f"{source!r} is not an image source", where=given, todo=todo_source)
    return Mixture(name=name, path=absolute(path), sha256=hash_of(absolute(path)), source=source or None)


def absolute(path: str) -> str:
    """Return a path that holds from everywhere; an address, which is refused when it is read, stays as it is."""
    from vlmt_cli.base.file_systems import is_elsewhere

    return path if is_elsewhere(path) else str(Path(path).absolute())


def read_splits(
    examples: "dict[str, Prepared]",
    image_lists: "list[ImageList]",
    test_files: str = "all",
    has_mixtures: bool = False,
) -> "tuple[list[Split], pa.Table]":
    """Read the splits of the examples, and the image lists that join them.

    Args:
        examples: of the datasets and crosswalks.
        image_lists: that join.
        test_files: whether test sets that the paper does not have join the union: ``all`` or ``paper``.
        has_mixtures: whether mixtures are scanned, whose images may be linked to the splits'.

    Returns:
        The splits, and all identity links.

    Raises:
        UsageError: an image list has the name and role of a split.
        DataError: there is no split, or an image list cannot be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from vlmt_cli.base.errors import DataError, UsageError
    from vlmt_cli.clean.image_lists import image_list
    from vlmt_cli.clean.splits import splits_of

    beyond: tuple[str, ...] = ("strict",) if test_files == "all" else ()
    splits = [split for each in examples.values() for split in splits_of(each, beyond)]
    for given in image_lists:
        if any((split.dataset, split.role) == (given.name, given.role) for split in splits):
            what = f"--image-list {given.name}:{given.role}: {given.name} has {given.role} images already"
            raise UsageError(what, todo="give it another name")
        splits.append(image_list(given.name, given.role, given.path, given.source))
    if not splits:
        raise DataError("there is nothing to clean", todo="put official files below raw/, or name an --image-list")
    links = {name: each.links() for name, each in examples.items()}
    if number := _built_in(examples):  # what speaks of no image here joins nothing, and was not compared
        shown = pa.concat_arrays([split.images.flatten() for split in splits]).unique()
        genome = links["vg_images"]
        own, rest = genome.slice(0, len(genome) - number), genome.slice(len(genome) - number)
        speaks = pc.is_in(rest["image"], value_set=shown)
        if has_mixtures:
            speaks = pc.or_(speaks, pc.is_in(rest["alias"], value_set=shown))
        links["vg_images"] = pa.concat_tables([own, rest.filter(speaks)])
    return splits, pa.concat_tables(list(links.values()))


def _built_in(examples: "dict[str, Prepared]") -> int:
    """Count the links of the built-in crosswalk, which are the last of Visual Genome's images."""
    from vlmt_cli.datasets.crosswalks import BUILTIN_CROSSWALK, BUILTIN_REST

    notes = examples["vg_images"].manifest.notes if "vg_images" in examples else {}
    return notes.get(BUILTIN_CROSSWALK, 0) or notes.get(BUILTIN_REST, 0)


def crosswalk_of(examples: "dict[str, Prepared]", links: "pa.Table") -> str | None:
    """Say whose crosswalk from Visual Genome to COCO is taken; None where none was read.

    Args:
        examples: of the datasets and crosswalks.
        links: those of them that speak of images here, as ``read_splits`` returns them.
    """
    from vlmt_cli.datasets.crosswalks import BUILTIN_CROSSWALK, VG_FILE

    if "vg_images" not in examples:
        return None
    if BUILTIN_CROSSWALK in examples["vg_images"].manifest.notes:
        return "built-in"
    return f"{VG_FILE} and built-in" if len(_from_built_in(examples, links)) else VG_FILE


def _from_built_in(examples: "dict[str, Prepared]", links: "pa.Table") -> "pa.Array":
    """Return the images whose links here are of the built-in crosswalk."""
    import pyarrow as pa
    import pyarrow.compute as pc

    number = _built_in(examples)
    if not number:
        return pa.array([], pa.string())
    genome = examples["vg_images"].links()
    images = genome["image"].slice(len(genome) - number).combine_chunks()
    linked = links["image"].filter(pc.equal(links["relation"], "crosswalk")).combine_chunks()
    return images.filter(pc.is_in(images, value_set=linked)).unique()


def warnings_of(
    splits: "list[Split]", links: "pa.Table", examples: "dict[str, Prepared]", datasets: list[str], missing: list[str]
) -> list[str]:
    """Say what the split of some datasets cannot promise for lack of files."""
    from vlmt_cli.base.words import be, count, quoted
    from vlmt_cli.clean.blind_spots import blind_spots
    from vlmt_cli.clean.claim import known_to_scan, without_tests
    from vlmt_cli.datasets.crosswalks import IMAGES

    listed = examples["vg_images"].manifest.notes.get(IMAGES, 0)
    warnings = blind_spots(splits, links, listed, _from_built_in(examples, links))
    for split in splits:
        if split.unnamed:
            examples_of_it = ", ".join(quoted(name or "") for name in split.unnamed_examples)
            warnings.append(
                f"{count(split.unnamed, 'image')} of the image list {split.dataset}:{split.role} {be(split.unnamed)}"
                f" not compared, as nothing says which they are, such as {examples_of_it}."
            )
    if missing:
        tested = list(dict.fromkeys(split.dataset for split in splits if split.role == "test"))
        absent = f"{count(len(missing), 'official file')} {be(len(missing))} missing (vlmt data status lists them)"
        said = f"Clean of the test images of {', '.join(tested) or 'no dataset'} alone, as {absent}."
        if unprotected := without_tests(datasets, tested):
            known = known_to_scan(unprotected)
            said += f" Test images of {', '.join(unprotected)} were not looked for, and may be left{known}."
        warnings.insert(0, said)
    return warnings
