"""Files below ``raw/`` that nothing reads: what each probably is, and what to do about it."""

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.folders import is_folder
from vlmt_cli.base.image_names import SUFFIXES
from vlmt_cli.base.packed import open_packed
from vlmt_cli.base.words import count
from vlmt_cli.base.zips import archive_of, files_in, folders_in
from vlmt_cli.datasets.official import all_datasets, copies, raw_files, raw_folder
from vlmt_cli.datasets.source import find
from vlmt_cli.datasets.table import DATASETS

_MOST = 100_000
"""Files that are looked at."""
_REFER = ("refcoco", "refcoco+", "refcocog")
UNKNOWN = "not an official file"
_FEATURES = (".lmdb", ".mdb", ".h5", ".hdf5", ".npy", ".npz", ".tsv")
_CHUNK = 1 << 20
_ALIKE = 4  # of one folder and reason that are named one by one

# Names that people have: what it is, and what to do.
_KNOWN = (
    (r"(?:train|val|testdev|test|challenge)_all_questions(?:_\d+)?\.json", "GQA's unbalanced questions, which are not"
     " trained on", "put {split}_balanced_questions.json of the same download into raw/gqa"),
    (r"balanced_(?:dev|test\d?|train)\.json|unbalanced_.*\.json", "a part of NLVR2 that its authors balanced", "put"
     " dev.json and test1.json of nlvr2/data into raw/nlvr2"),
    (r".*%2F.*\.tsv", "Conceptual Captions under its address's name", "rename it to Train_GCC-training.tsv, or"
     " Validation_GCC-1.1.0-Validation.tsv"),
    (r".*\.jsonline", "annotations in the form of the authors' code", "put the official files in its stead; the list"
     " above names them"),
    (r"finetune_ref.*\.json|mdetr_annotations.*", "MDETR's form", "vlmt index add NAME=FILE takes it; cleaning needs"
     " refs(unc).p and instances.json"),
    (r"grefs.*\.(?:json|p)", "gRefCOCO, which is not one of the datasets", "vlmt index add NAME=FILE takes it"),
    (r"coco_karpathy_.*\.json|flickr30k_(?:train|val|test)\.json", "BLIP's form of the Karpathy split", "put"
     " dataset_coco.json or dataset_flickr30k.json of caption_datasets.zip in its stead"),
    (r"dataset_flickr8k\.json", "Flickr8k, which is not one of the datasets", "leave it, or remove it"),
    (r"dataset_v7w_telling\.json", "Visual7W's telling questions, which are answered in words, not by a box", "put"
     " dataset_v7w_pointing.json of the same toolkit beside it"),
    (r"(?:OpenEnded|MultipleChoice)_(?:mscoco|abstract).*\.json|(?:mscoco|abstract)_.*_annotations\.json", "a file of"
     " VQA v1 or OK-VQA, which are not among the datasets", "download VQA v2's, whose names begin with v2_, or leave"
     " it"),
    (r"v2_.*_complementary_pairs\.json", "a part of VQA v2 that is not needed", "leave it, or remove it"),
    (r"vqacp_.*\.json", "VQA-CP, which is not one of the datasets", "leave it, or remove it"),
    (r"(?:region_descriptions|objects|attributes|relationships|scene_graphs|qa_region_mapping).*\.json", "a part of"
     " Visual Genome that is not needed", "leave it, or remove it"),
    (r"person_keypoints_.*|image_info_.*|panoptic_.*|stuff_.*", "a part of COCO that is not needed", "leave it, or"
     " remove it"),
    (r"(?:readme|license|licence|copying|changelog)(?:\.\w+)?|.*\.(?:md|pdf|html?)", "a text for people", "leave it"),
    (r".*\.(?:py|ipynb|sh|m)", "a program", "leave it"),
    (r".*\.(?:tar|tgz|tbz2?|txz|7z|rar)(?:\.gz|\.bz2|\.xz)?", "an archive that is not read", "unpack it here"),
    (r".*\.(?:part|crdownload|aria2|download)", "a download that did not end", "download it again"),
)  # fmt: skip


@dataclass(frozen=True)
class Unread:
    """A file that is not read, or several of a folder: the path below ``raw/``, what it is, and what to do."""

    path: str
    what: str
    todo: str


def unread_files(data: Path) -> list[Unread]:
    """List what lies below ``raw/`` and is not read; many files of one folder and reason count as one."""
    raw = data / "raw"
    used: set[Path] = set()
    passed: dict[Path, Path] = {}
    for name in all_datasets():
        for path in raw_files(data, name):
            inside = archive_of(path)
            used.add(inside[0] if inside else path)
        passed |= copies(data, name)
    grouped: dict[tuple[str, str, str], list[str]] = {}
    # Of an archive of which the rest is read.
    in_used = [path for path in passed if (inside := archive_of(path)) and inside[0] in used]
    archives = sorted(path for path in used if _is_zip(path.name))
    nested = [path / member for path in archives for name, member in files_in(path).items() if _is_zip(name)]
    files = chain(in_used, nested, _files(raw, used))
    for path in islice(files, _MOST):
        what, todo = _compared(path, passed[path], raw) if path in in_used else _explain(path, raw, data)
        folder = path.parent.relative_to(raw).as_posix()
        grouped.setdefault((folder, what, todo), []).append(path.name)
    result = []
    for (folder, what, todo), names in sorted(grouped.items()):
        here = "" if folder == "." else f"{folder}/"
        if len(names) > _ALIKE:
            result.append(Unread(f"{here}{min(names)} and {count(len(names) - 1, 'other')}", what, todo))
        else:
            result += [Unread(f"{here}{name}", what, todo) for name in sorted(names)]
    if more := next(files, None):
        what = f"more than {_MOST:,} files that are not read; from this one on they were not looked at"
        result.append(Unread(more.relative_to(raw).as_posix(), what, "put images and features elsewhere"))
    return result


def _files(raw: Path, used: set[Path]) -> Iterator[Path]:
    for here, folders, names in os.walk(raw):
        folder = Path(here)
        folders[:] = [name for name in sorted(folders) if folder / name not in used and not name.startswith(".")]
        for name in sorted(names):
            if folder / name not in used and not name.startswith("."):
                yield folder / name


def _explain(path: Path, raw: Path, data: Path) -> tuple[str, str]:
    """Say what a file probably is, and what to do about it."""
    name = path.name.removesuffix(".gz")
    if archive_of(path):
        return "an archive in an archive, which is not read", "unpack the outer one here"
    if path.is_symlink() and not path.exists():  # or to itself
        return "a link that leads nowhere", "make it lead to the file, or put the file here"
    homes = _homes()
    if name.startswith("refs(") and (others := _explain_references(path, name, data)):
        return others
    if name in homes:
        folders = [raw_folder(data, dataset) for dataset in homes[name]]
        near = [folder for folder in folders if folder in path.parents]
        read = _read_instead(data, homes[name], name, path)
        if near and len(path.relative_to(near[0]).parts) <= 2 and read:
            return _compared(path, read, raw)
        named = " or ".join(dict.fromkeys(f"raw/{folder.name}" for folder in near or folders))
        return (
            f"an official file in a folder where it is not looked for ({_titles(homes[name])})",
            f"put it into {named}",
        )
    if _is_zip(path.name):
        return _explain_zip(path, homes, data)
    if name.lower().endswith(SUFFIXES):
        return "images, which are not read from here", "name their folder to vlmt extract"
    for pattern, what, todo in _KNOWN:
        if re.fullmatch(pattern, name, re.IGNORECASE):
            return what, todo.replace("{split}", name.partition("_")[0])
    # Folders say which dataset is meant, where the name is nearly right.
    is_feature = path.suffix.lower() in _FEATURES
    close = difflib.get_close_matches(name[:255], homes, n=1, cutoff=0.85 if is_feature else 0.75)
    if close:
        return f"perhaps {close[0]} ({_titles(homes[close[0]])})", f"rename it to {close[0]} if it is"
    if is_feature:
        return "features, or a table that is not read", "vlmt pack takes features; they lie elsewhere"
    return UNKNOWN, "vlmt index add NAME=FILE takes benchmarks' files; else leave it, or remove it"


def _explain_references(path: Path, name: str, data: Path) -> tuple[str, str] | None:
    """Say what a file of references below a folder of RefCOCO's is that this dataset does not read; else None."""
    mine = next((dataset for dataset in _REFER if raw_folder(data, dataset) in path.parents), None)
    if mine is None or name in (own := _names_of(mine)):
        return None
    wanted = next(each for each in own if each.startswith("refs("))
    title, there = DATASETS[mine].title, find(raw_folder(data, mine), wanted)
    what = f"references of another split or dataset than {title}'s, of which {wanted} is read"
    todo = "leave it, or remove it" if there else f"put {wanted} here, of the archive that instances.json came in"
    others = [f"raw/{raw_folder(data, each).name}" for each in _REFER if name in _names_of(each)]
    if others and not there and (mine, name) != ("refcoco", "refs(google).p"):  # which RefCOCO has, too
        todo += f"; if it is of another dataset, put it into {' or '.join(others)}"
    return what, todo


def _names_of(dataset: str) -> list[str]:
    """Return the names of a dataset's official files, the others that one file goes by among them."""
    row = all_datasets()[dataset]
    return [name for names in (*row.files, *row.also) for name in names.split("|")]


def _read_instead(data: Path, datasets: list[str], name: str, path: Path) -> Path | None:
    """Return the file that is read where one of this name could be; None where nothing is."""
    for dataset in datasets:
        row, folder = all_datasets()[dataset], raw_folder(data, dataset)
        groups = [names.split("|") for names in (*row.files, *row.also) if name in names.split("|")]
        for group in groups:
            if folder in path.parents and (read := find(folder, *group)):
                return read
    return None


def _compared(path: Path, read: Path, raw: Path) -> tuple[str, str]:
    """Say of a file whether it is the same as what is read in its stead."""
    other = read.relative_to(raw).as_posix()
    if is_folder(path):
        return f"a folder that is passed over, as {other} is read in its stead", "remove one of them"
    if _is_same(path, read):
        return f"a second copy of {other}, which is read", "remove one of them"
    return f"another file than {other}, which is read in its stead", "keep the right one, and remove the other"


def _is_same(path: Path, other: Path) -> bool:
    """Whether two files hold the same, unpacked; what cannot be read is the same as nothing."""
    packed = [each.suffix == ".gz" or archive_of(each) is not None for each in (path, other)]
    try:
        if not any(packed) and path.stat().st_size != other.stat().st_size:
            return False
        with open_packed(path) as mine, open_packed(other) as theirs:
            while (chunk := mine.read(_CHUNK)) == theirs.read(_CHUNK):
                if not chunk:
                    return True
    except (OSError, DataError):
        pass
    return False


def _explain_zip(path: Path, homes: dict[str, list[str]], data: Path) -> tuple[str, str]:
    files = files_in(path)
    if not files:
        return "a zip archive that is empty or damaged", "download it again"
    held = [file for file in sorted({*files, *folders_in(path)}) if file.removesuffix(".gz") in homes]
    if not held:
        if any(map(_is_zip, files)):
            return "an archive of archives, which are not read", "unpack it here"
        if any(file.lower().endswith(SUFFIXES) for file in files):
            return "an archive of images, which are not read from here", "unpack it elsewhere for vlmt extract"
        return "an archive without an official file", "leave it, or remove it"
    folders = dict.fromkeys(
        f"raw/{raw_folder(data, dataset).name}" for file in held for dataset in homes[file.removesuffix(".gz")]
    )
    near = {path.parent, path.parent.parent}  # where archives are looked into
    here = any(raw_folder(data, dataset) in near for file in held for dataset in homes[file.removesuffix(".gz")])
    what = f"an archive that holds {', '.join(held[:3])}{' and others' if len(held) > 3 else ''}"
    if here:
        return f"{what}, of which others are read that lie unpacked or in another archive", "leave it, or remove it"
    return what, f"put it into {' and '.join(folders)}"


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def _homes() -> dict[str, list[str]]:
    """Return the datasets that read a file, by its official names."""
    homes: dict[str, list[str]] = {}
    for dataset, row in all_datasets().items():
        for names in (*row.files, *row.also):
            for name in names.split("|"):
                homes.setdefault(name, []).append(dataset)
    return homes


def _titles(datasets: list[str]) -> str:
    return ", ".join(dict.fromkeys(all_datasets()[name].title for name in datasets))
