"""Why a check of a mixture says nothing, and what to do about it.

A check passes where images were compared and none is a test image, and where there are texts alone. It does not pass
where nothing was compared, nor where a record could not be read: any such record may show a test image.
"""

import re
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import NamedTuple

from vlmt_cli.base.image_names import SUFFIXES
from vlmt_cli.base.words import count, listed, quoted
from vlmt_cli.clean.scan_claim import compared_with, partly_compared
from vlmt_cli.clean.scan_index import PICTURE
from vlmt_cli.clean.scan_report import ScanReport

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_CAPTION = re.compile(r"#[0-9]+$")  # 1000092795.jpg#0, as Flickr30k writes it
_PICTURES = "vlmt index add NAME=FOLDER --to FILE"
_FEW = 3


class Unchecked(NamedTuple):
    """What was not checked, and what to do."""

    why: str
    todo: str


def unchecked(report: ScanReport, asked: Collection[str] | None = None) -> Unchecked | None:
    """Say why a check that met no test image says nothing; None where it says something.

    Args:
        report: of the scan.
        asked: the benchmarks each of which must have been compared with an image, if there are any; None for all.
    """
    if not report.records:
        todo = "give the files that have its records, and leave out what is empty on purpose"
        return Unchecked("there is no record", todo)
    if report.damaged:
        of = count(report.records, "record")
        what = f"{report.damaged:,} of {of} could not be read, such as {report.damaged_examples[0]}"
        return Unchecked(what, "correct such records, or take them out: any may show a test image")
    if not report.images and report.unmet:
        what = f"{count(report.unmet, 'record')} with <image> in the text, and no image"
        return Unchecked(what, "call the field of their images image or images")
    if report.images and not report.compared:
        return Unchecked(f"none of {count(report.images, 'image')} could be compared", _cure(report))
    if report.images and (open_ones := _not_compared(report, asked)):
        names = listed(open_ones[:_FEW]) if len(open_ones) <= _FEW else f"{', '.join(open_ones[:_FEW])} and others"
        what = f"none of {count(report.images, 'image')} could be compared with {names}"
        return Unchecked(what, f"name with --against what can be compared, or {_cure(report)}")
    return None


def _not_compared(report: ScanReport, asked: Collection[str] | None) -> list[str]:
    return [name for name in report.benchmarks if (asked is None or name in asked) and not compared_with(report, name)]


def _cure(report: ScanReport) -> str:
    """Say how those images can be compared that were not, by what is known of most of them."""
    cures: list[tuple[int, str]] = []
    looks = f"give --index a file with the benchmarks' pictures, of {_PICTURES}"
    by_pictures = looks
    if report.pictures is None:
        by_pictures = f"compare pictures with --images, and --index FILE of {_PICTURES}"
    elif report.unseen:
        by_pictures = "say with --image-folder where their files are"
    for folder, each in report.unnamed.items():
        rule = next((rule for name in each.examples if (rule := _rule(folder, name))), "")
        ways = [f"say with --rules what their names mean, such as {quoted(rule)}"] if rule else []
        if "{number}" in rule:
            ways.append("with --source where all their numbers are of one source")
        cures.append((each.images, ", or ".join([*ways, by_pictures])))
    for some in partly_compared(report):
        ways = ["give --index a file that has the addresses of the benchmarks' images"]
        if some.by == PICTURE:
            ways = [looks]
        elif "hash" in some.by:
            ways = [f"give --index a file with the hashes of the benchmarks' images, of {_PICTURES}"]
        elif len(rules := {_rule_of_address(url) for url in some.examples}) == 1 and (rule := rules.pop()):
            ways.insert(0, f"say with --rules what their addresses mean, such as {quoted(rule)}")
        cures.append((some.images, ", or ".join(ways)))
    return max(cures, key=lambda cure: cure[0])[1] if cures else by_pictures


def _rule(folder: str, name: str) -> str:
    """Write the rule that a name in a folder could have; empty where none could fit."""
    path = PurePosixPath(_CAPTION.sub("", name).replace("\\", "/"))
    suffix = path.suffix if path.suffix.lower() in SUFFIXES else ""
    stem = path.name.removesuffix(suffix)
    if not _ID.fullmatch(stem) or "{" in folder:
        return ""
    inner = "/".join(folder.split("/")[-2:])
    pattern = f"{'{number}' if stem.isdigit() else '{id}'}{suffix} = {'coco' if stem.isdigit() else 'ours'}"
    return f"{inner}/{pattern}" if inner else pattern


def _rule_of_address(url: str) -> str:
    host, _, path = url.partition("//")[2].partition("?")[0].partition("/")
    is_flickr = host.lower().endswith("flickr.com")  # whose photos the index may know by their ids
    return _rule(f"{host}/{path}".rpartition("/")[0], path) if path and not is_flickr else ""
