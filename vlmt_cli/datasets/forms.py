"""What a file that is not of the official form is instead, as far as its beginning tells."""

import msgspec

_BEGINNINGS = (
    ((b"\xff\xfe", b"\xfe\xff"), "is UTF-16 text", "save it as UTF-8"),
    ((b"PK\x03\x04",), "is a zip archive", "unpack it"),
    ((b"\x1f\x8b",), "is packed with gzip", "name it .gz"),
    ((b"PAR1",), "is a Parquet file", "download the official file"),
    ((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), "is a pickle", "download the official file"),
    ((b"version https://git-lfs",), "is a Git LFS pointer", "fetch the file itself with git lfs pull"),
    ((b"<",), "is a web page or XML", "download the file itself, not the page about it"),
)


def beginning(data: memoryview | bytes) -> tuple[str, str] | None:
    """Say what a file is by its first bytes, and what to do about it; None where it may be JSON."""
    head = bytes(data[:64]).lstrip(b" \t\r\n")
    for starts, what, todo in _BEGINNINGS:
        if head.startswith(starts):
            return what, todo
    return None


def columns(data: memoryview | bytes) -> dict[str, list[msgspec.Raw]] | None:
    """Return the columns of a file that holds columns in place of records, as Hugging Face's datasets and pandas do.

    They are all of one length, which is at least 1; numbered ones, ``{"0": ..., "1": ...}``, count as lists.
    """
    kind = dict[str, list[msgspec.Raw] | dict[str, msgspec.Raw]]
    try:
        by_name = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    lists = {name: list(column.values()) if isinstance(column, dict) else column for name, column in by_name.items()}
    is_numbered = all(not isinstance(column, dict) or "0" in column for column in by_name.values())
    lengths = {len(column) for column in lists.values()}
    return lists if is_numbered and len(lengths) == 1 and 0 not in lengths else None
