"""Files below ``raw/`` that nothing reads: what each probably is, and what to do about it."""

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vlmt_cli.base.image_names import SUFFIXES
from vlmt_cli.base.words import count
from vlmt_cli.base.zips import archive_of, files_in, folders_in
from vlmt_cli.datasets.official import all_datasets, raw_files, raw_folder

_MOST = 100_000
"""Files that are looked at."""
_DEEPEST = 6
_REFER = ("refcoco", "refcoco+", "refcocog")
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
    (r"refs\(.*\)\.p", "another split of RefCOCO than is read", "leave it, or set refcocog.split_by"),
    (r"(?:region_descriptions|objects|attributes|relationships|scene_graphs|qa_region_mapping).*\.json", "a part of"
     " Visual Genome that is not needed", "leave it, or remove it"),
    (r"person_keypoints_.*|image_info_.*|panoptic_.*|stuff_.*", "a part of COCO that is not needed", "leave it, or"
     " remove it"),
    (r"(?:readme|license|licence|copying|changelog)(?:\.\w+)?|.*\.(?:md|pdf|html?)", "a text for people", "leave it"),
    (r".*\.(?:py|ipynb|sh|m)", "a program", "leave it"),
    (r".*\.(?:tar|tgz|tbz2?|txz|7z|rar)(?:\.gz|\.bz2|\.xz)?", "an archive that is not read", "unpack it here"),
    (r".*\.(?:part|crdownload|aria2|download)", "a download that did not end", "download it again"),
    (r".*\.(?:lmdb|mdb|h5|hdf5|npy|npz|tsv)", "features, or a table that is not read", "vlmt pack takes features; they"
     " lie elsewhere"),
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
    for name in all_datasets():
        for path in raw_files(data, name):
            inside = archive_of(path)
            used.add(inside[0] if inside else path)
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for path in _files(raw, used):
        what, todo = _explain(path, raw, data)
        folder = path.parent.relative_to(raw).as_posix()
        grouped.setdefault((folder, what, todo), []).append(path.name)
    result = []
    for (folder, what, todo), names in sorted(grouped.items()):
        here = "" if folder == "." else f"{folder}/"
        if len(names) > _ALIKE:
            result.append(Unread(f"{here}{min(names)} and {count(len(names) - 1, 'other')}", what, todo))
        else:
            result += [Unread(f"{here}{name}", what, todo) for name in sorted(names)]
    return result


def _files(raw: Path, used: set[Path]) -> Iterator[Path]:
    looked_at = 0
    for here, folders, names in os.walk(raw):
        folder = Path(here)
        kept = [name for name in sorted(folders) if folder / name not in used and not name.startswith(".")]
        folders[:] = kept if len(folder.relative_to(raw).parts) < _DEEPEST else []
        for name in sorted(names):
            looked_at += 1
            if looked_at > _MOST:
                return
            if folder / name not in used and not name.startswith("."):
                yield folder / name


def _explain(path: Path, raw: Path, data: Path) -> tuple[str, str]:
    """Say what a file probably is, and what to do about it."""
    name = path.name.removesuffix(".gz")
    homes = _homes()
    is_other_split = name.startswith("refs(") and path.parent in {raw_folder(data, each) for each in _REFER}
    if name in homes and not is_other_split:
        folders = [raw_folder(data, dataset) for dataset in homes[name]]
        near = [folder for folder in folders if folder in path.parents]
        if near and len(path.relative_to(near[0]).parts) <= 2:
            return "a second copy of what is read", "remove one of them"
        named = " or ".join(dict.fromkeys(f"raw/{folder.name}" for folder in near or folders))
        return (
            f"an official file in a folder where it is not looked for ({_titles(homes[name])})",
            f"put it into {named}",
        )
    if path.suffix.lower() == ".zip":
        return _explain_zip(path, homes, data)
    if name.lower().endswith(SUFFIXES):
        return "images, which are not read from here", "name their folder to vlmt extract"
    for pattern, what, todo in _KNOWN:
        if re.fullmatch(pattern, name, re.IGNORECASE):
            return what, todo.replace("{split}", name.partition("_")[0])
    # Folders say which dataset is meant, where the name is nearly right.
    close = difflib.get_close_matches(name[:255], homes, n=1, cutoff=0.75)
    if close:
        return f"perhaps {close[0]} ({_titles(homes[close[0]])})", f"rename it to {close[0]} if it is"
    return "not an official file", "vlmt index add NAME=FILE takes benchmarks' files; else leave it, or remove it"


def _explain_zip(path: Path, homes: dict[str, list[str]], data: Path) -> tuple[str, str]:
    files = files_in(path)
    if not files:
        return "a zip archive that is empty or damaged", "download it again"
    held = [file for file in sorted({*files, *folders_in(path)}) if file.removesuffix(".gz") in homes]
    if not held:
        if any(file.lower().endswith(SUFFIXES) for file in files):
            return "an archive of images, which are not read from here", "unpack it elsewhere for vlmt extract"
        return "an archive without an official file", "leave it, or remove it"
    folders = dict.fromkeys(
        f"raw/{raw_folder(data, dataset).name}" for file in held for dataset in homes[file.removesuffix(".gz")]
    )
    here = any(
        raw_folder(data, dataset) in path.parents for file in held for dataset in homes[file.removesuffix(".gz")]
    )
    what = f"an archive that holds {', '.join(held[:3])}{' and others' if len(held) > 3 else ''}"
    if here:
        return f"{what}, which lie beside it already", "leave it, or remove it"
    return what, f"put it into {' and '.join(folders)}"


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
