"""JSON from elsewhere that is one value, or a value a line."""

from pathlib import Path
from typing import Any

import msgspec

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.words import printable

_WRONG = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def json_or_lines(data: bytes, path: Path) -> Any:
    """Decode JSON, or lines of it as a list; a byte order mark is left out.

    Args:
        data: the file's content.
        path: of the file, for the error.

    Raises:
        DataError: it is neither; the error names the line where only some are damaged.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return msgspec.json.decode(data)
    except _WRONG as whole:
        try:
            return msgspec.json.Decoder().decode_lines(data)
        except _WRONG:
            raise _damaged(data, path, whole) from whole


def _damaged(data: bytes, path: Path, whole: Exception) -> DataError:
    lines = data.split(b"\n")
    if len(lines) > 1 and lines[0].strip()[-1:] == b"}":
        for number, line in enumerate(lines, 1):
            try:
                msgspec.json.decode(line) if line.strip() else None
            except _WRONG as error:
                todo = "correct the line, or get the file again"
                return DataError(f"is not valid JSON ({printable(error)})", where=f"{path}:{number}", todo=todo)
    return DataError(f"is not valid JSON ({printable(whole)})", where=path, todo="get the file again")
