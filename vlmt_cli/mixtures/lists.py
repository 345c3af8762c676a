"""Files that list mixtures: a mixture of mixtures, each with its own folder of images and its own sampling.

InternVL
    {"vqav2_train_83k": {"root": "./data/coco/train2014/", "annotation": "./data/sft/vqav2.jsonl", "repeat_time": 1}}
OneVision (YAML)
    datasets:
      - json_path: /data/llava_next_fit_mix_738590.json
        sampling_strategy: "first:50%"
Qwen (JSON or YAML; a dict by name, or a list of such entries and of names as in ``name%50``)
    {"cambrian_737k%50": {"annotation_path": "cambrian_737k.json", "data_path": "images/"}}
LLaMA-Factory (dataset_info.json)
    {"mllm_demo": {"file_name": "mllm_demo.json", "formatting": "sharegpt", "columns": {"images": "pics"}, ...}}
LLaMA-Factory, version 1 (YAML)
    multimodal_demo:
      path: data/v1_multimodal_demo.jsonl
      source: local

A path is relative to the folder from which the training is started; here it is looked for below the list's own folder
and the folders around it, nearest first. Written back, only the paths change.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from vlmt_cli.base.documents import parse_yaml, read_text
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import write_text
from vlmt_cli.base.image_names import SUFFIXES
from vlmt_cli.base.opening import read_file
from vlmt_cli.base.words import printable, quoted
from vlmt_cli.mixtures.batch import ListForm, Source
from vlmt_cli.mixtures.json_values import value_end

_MOST_LIST = 64 << 20
_MOST_YAML = 1 << 18
"""Bytes of a list; YAML is read at 100 kB/s."""
YAML = (".yaml", ".yml")
_PATHS = {
    "internvl": "annotation",
    "onevision": "json_path",
    "qwen": "annotation_path",
    "llamafactory": "file_name",
    "llamafactory1": "path",
}
_ROOTS = {"internvl": "root", "qwen": "data_path"}
_NAMED = 3
"""Missing files that are named."""
_UP = 4
"""Folders around a list's own in which a relative path is looked for."""


def _is_form(kind: str, path: Path, head: bytes) -> bool:
    field = _PATHS[kind].encode()
    if path.is_dir() or b"\0" in head:
        return False
    if path.suffix in YAML:
        return field + b":" in head and (kind != "llamafactory1" or b"source:" in head)
    if path.suffix != ".json" or not head.lstrip().startswith((b"{", b"[")) or b'"%b"' % field not in head:
        return False
    try:
        return bool(_entries(kind, path))
    except DataError:
        return False


def _members(kind: str, path: Path) -> list[Source]:
    members, missing = [], []
    entries = _entries(kind, path)
    for name, entry in entries:
        where = f"{path}: {printable(name)}"
        listed = entry[_PATHS[kind]]
        if not isinstance(listed, str) or not listed or "\0" in listed:
            raise DataError(f"names no file but {quoted(listed)}", where=where, todo=f"give {_PATHS[kind]} a path")
        root = entry.get(_ROOTS.get(kind, ""), "")
        if not isinstance(root, str):
            raise DataError(f"gives {quoted(root)} as the folder of its images", where=where, todo="give a path")
        if listed.startswith(("http://", "https://")):
            raise DataError(f"lies at {quoted(listed)}", where=where, todo="download it, and give its path")
        member = _found(path, listed, where)
        if member is None:
            missing.append((name, listed))
        else:
            members.append(Source(member, "", root, _sampling(kind, name, entry), path, fields=_fields(kind, entry)))
    if missing:
        raise _not_there(path, missing, len(entries))
    return members


def _not_there(path: Path, missing: list[tuple[str, str]], of: int) -> DataError:
    """Say which of a list's files are missing, and how many."""
    name, listed = missing[0]
    if len(missing) == 1:
        todo = "put it there, or take it from the list"
        return DataError(f"{quoted(listed)} is not there", where=f"{path}: {printable(name)}", todo=todo)
    names = ", ".join(quoted(each) for _, each in missing[:_NAMED])
    part = f"{len(missing):,} of the {of:,} files that it lists are not" if len(missing) < of else (
        f"none of the {of:,} files that it lists is")  # fmt: skip
    what = f"{part} there, such as {names}"
    todo = "put them there, take them from the list, or give the files that are there by themselves"
    return DataError(what, where=path, todo=todo)


def _write(kind: str, path: Path, renamed: dict[Path, Path], to: Path, counts: dict[Path, tuple[int, int]]) -> None:
    """Write a list again with its members' new paths and lengths; order, sampling, comments and all else stay."""
    text = read_file(path).decode()
    for member, (name, entry) in zip(_members(kind, path), _entries(kind, path), strict=True):
        if member.path not in renamed:
            continue
        old, new = entry[_PATHS[kind]], str(renamed[member.path])
        before, after = counts.get(member.path, (0, 0))
        if kind == "internvl" and before and entry.get("length") == before:
            text = _shortened(text, name, before, after)
        text = _replaced(text, _PATHS[kind], old, new, f"{path}: {printable(name)}")
    write_text(to, text)


def _shortened(text: str, name: str, before: int, after: int) -> str:
    """Correct how many records an entry of InternVL's says that it has."""
    for begin in (match.end() for match in re.finditer(rf"{re.escape(json.dumps(name))}\s*:\s*(?={{)", text)):
        rest = text[begin:].encode()
        end = begin + len(rest[: value_end(rest, 0)].decode())
        entry, found = re.subn(rf'("length"\s*:\s*){before}\b', rf"\g<1>{after}", text[begin:end])
        if found:
            return f"{text[:begin]}{entry}{text[end:]}"
    return text


def _replaced(text: str, field: str, old: str, new: str, where: str) -> str:
    """Put a new path where a list names the old one, as often as it does; the rest of the text stays."""
    quoted_new = json.dumps(new, ensure_ascii=False)
    spellings = [json.dumps(old), json.dumps(old, ensure_ascii=False), f"'{old}'", old]
    for key in (f'"{field}"', field):
        for spelling in spellings:
            for gap in (": ", ":", " : ", ":  "):
                before = f"{key}{gap}{spelling}"
                at = text.find(before)
                while at >= 0:
                    end = at + len(before)
                    if spelling != old or text[end : end + 1] in ("", "\n", "\r", " "):
                        text = f"{text[:at]}{key}{gap}{quoted_new}{text[end:]}"
                        end = at + len(f"{key}{gap}{quoted_new}")
                    at = text.find(before, end)
    if quoted_new not in text:
        raise DataError(
            f"{quoted(old)} is written in a way that cannot be replaced", where=where, todo="write it plainly"
        )
    return text


def _entries(kind: str, path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the entries of a list that name a file, by name."""
    value = _loaded(path)
    if kind == "onevision" and isinstance(value, dict):
        value = value.get("datasets")
    pairs: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, dict):
        pairs = iter(value.items())
    elif isinstance(value, list) and not kind.startswith("llamafactory"):
        pairs = ((f"entry {number}", entry) for number, entry in enumerate(value, 1))
    entries = []
    for name, entry in pairs:
        if isinstance(entry, dict) and _PATHS[kind] in entry and entry.get("source", "local") == "local":
            entries.append((str(entry.get("dataset_name", name)), entry))
        elif not kind.startswith("llamafactory"):  # whose entries may also be names on a hub
            return []
    if any(str(entry[_PATHS[kind]]).lower().endswith(SUFFIXES) for _, entry in entries):
        return []  # records of images
    return entries


def _loaded(path: Path) -> Any:
    try:
        data = read_file(path)
    except FileNotFoundError as error:
        raise DataError("there is no such file", where=path) from error
    if len(data) > _MOST_LIST:
        raise DataError(f"has {len(data):,} bytes, too many for a list", where=path, todo="give the mixture itself")
    if path.suffix in YAML:
        if len(data) > _MOST_YAML:
            todo = "write it as several lists, or give the files that it names"
            raise DataError(f"has {len(data):,} bytes, too many for a list in YAML", where=path, todo=todo)
        return parse_yaml(read_text(path), path)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        what = " ".join(str(error).split())
        raise DataError(f"is not JSON ({printable(what, 200)})", where=path, todo="correct it") from error


def _fields(kind: str, entry: dict[str, Any]) -> tuple[str, ...]:
    """Return what LLaMA-Factory's ``columns`` call the fields of images."""
    columns = entry.get("columns") if kind.startswith("llamafactory") else None
    named = columns.get("images") if isinstance(columns, dict) else None
    return (named,) if isinstance(named, str) and named else ()


def _sampling(kind: str, name: str, entry: dict[str, Any]) -> str | None:
    if kind == "onevision":
        strategy = entry.get("sampling_strategy")
        return None if strategy in (None, "all") else str(strategy)
    if kind == "internvl":
        repeat = entry.get("repeat_time", 1)
        return None if repeat == 1 else f"x{repeat}"
    if kind == "qwen" and "%" in name:
        return "%" + name.rpartition("%")[2]
    return None


def _found(path: Path, listed: str, where: str) -> Path | None:
    """Return where a member lies; None where it is missing."""
    if Path(listed).is_absolute():
        folders = [Path("/")]
    else:
        depth = 0
        for part in Path(listed).parts:
            depth += -1 if part == ".." else 1
            if depth < 0:
                raise DataError(f"{quoted(listed)} climbs out of its folder", where=where, todo="give a path below it")
        folders = [path.parent, *path.absolute().parent.parents[:_UP]]
    for folder in folders:
        if (folder / listed).exists():
            return folder / listed
    return None


def _form(kind: str, title: str) -> ListForm:
    is_form: Callable[[Path, bytes], bool] = partial(_is_form, kind)
    return ListForm(title, is_form, partial(_members, kind), partial(_write, kind))


INTERNVL = _form("internvl", "an InternVL meta")
ONEVISION = _form("onevision", "a OneVision YAML")
QWEN = _form("qwen", "a Qwen registry")
LLAMAFACTORY = _form("llamafactory", "a dataset_info.json of LLaMA-Factory")
LLAMAFACTORY_1 = _form("llamafactory1", "a YAML of LLaMA-Factory, version 1")
