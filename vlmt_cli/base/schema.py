"""What a file or a person says, as a pydantic model; what is wrong with it in one line.

A file that outlives a release has a version: in ``version``, or at the end of ``format`` (``vlmt scores 1``). A file of
an older version is read, with the defaults of what it does not have; where that cannot be, the error says that an older
vlmt made it. A newer version is refused by its number.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from vlmt_cli.base.errors import DataError, VlmtError
from vlmt_cli.base.words import printable

Model = TypeVar("Model", bound=BaseModel)


def parse(
    kind: type[Model],
    values: Any,
    where: object,
    error: type[VlmtError] = DataError,
    *,
    todo: str | None = None,
) -> Model:
    """Check what a file or a person says.

    Args:
        kind: what it must be; a field ``version`` has this program's version as its default.
        values: what was read.
        where: the file, for the error.
        error: to raise.
        todo: what to do about a file that cannot be read, such as the command that makes it again.

    Raises:
        error: a key is unknown, missing or has a wrong value, which is named; or a newer vlmt wrote it.
    """
    newest = version_of({name: field.default for name, field in kind.model_fields.items()})
    version = version_of(values)
    if newest and version:
        check_version(version, newest, where, error)
    try:
        return kind.model_validate(values)
    except ValidationError as invalid:
        what, advice = explain(invalid, kind)
        if newest and (version or 0) < newest and invalid.errors()[0]["type"] == "missing":
            what = f"was made by an older vlmt: {what}"
        raise error(what, where=where, todo=advice or todo) from invalid


def version_of(values: Any) -> int | None:
    """Return the version of a file's content; None where it has none."""
    if not isinstance(values, Mapping):
        return None
    version = values.get("version", str(values.get("format", "")).rpartition(" ")[2])
    return int(version) if str(version).isdecimal() and len(str(version)) < 10 else None


def check_version(version: int, newest: int, where: object, error: type[VlmtError] = DataError) -> None:
    """Raise ``error`` where a file's version is newer than the newest that this program reads."""
    if version > newest:
        what = f"was made by a newer vlmt: it has version {version}, and this vlmt reads up to {newest}"
        raise error(what, where=where, todo="install a newer vlmt")


def explain(invalid: ValidationError, kind: type[BaseModel]) -> tuple[str, str | None]:
    """Say the first of pydantic's errors in one line, and what to do about it where that is known."""
    first = invalid.errors()[0]
    key = printable(".".join(str(part) for part in first["loc"]))
    if first["type"] == "extra_forbidden":
        plain = ".".join(part for part in first["loc"] if isinstance(part, str))
        return f"there is no key '{key}'", _nearest_key(plain, keys_of(kind))
    if first["type"] == "missing":
        return f"the key '{key}' is missing", None
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] != "value_error":  # pydantic's own begin with a capital letter
        message = f"{message[:1].lower()}{message[1:]}"
    return f"{key}: {printable(message, 400)}" if key else printable(message, 400), None


def keys_of(kind: type[BaseModel], prefix: str = "") -> list[str]:
    """List the keys of a model and of the models in it, as ``training.gap``."""
    keys = []
    for name, field in kind.model_fields.items():
        keys.append(prefix + name)
        if (inner := _model_in(field.annotation)) is not None:
            keys += keys_of(inner, f"{prefix}{name}.")
    return keys


def _nearest_key(name: str, keys: list[str]) -> str:
    """Advise a key: one of that name in another section, or else the nearest one."""
    last = name.rpartition(".")[2]
    same = [key for key in keys if key.rpartition(".")[2] == last]
    return f"did you mean {' or '.join(map(printable, same))}?" if 0 < len(same) < 4 else nearest(name, keys)


def nearest(name: str, known: Iterable[str]) -> str:
    """Ask whether one of the nearest known names was meant, or name them all."""
    known, name = list(known), printable(name)
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"choose one of {_listed(known)}"


def _listed(names: list[str], most: int = 20) -> str:
    return ", ".join([*names[:most], "..."] if len(names) > most else names)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in an annotation such as ``Model | None`` or ``dict[str, Model]``."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((model for part in get_args(annotation) if (model := _model_in(part)) is not None), None)
