"""Official files that were saved as columns, and not as records."""

import msgspec


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
