"""What a file that is not of the expected form is instead, as far as its beginning tells."""

_BEGINNINGS = (
    ((b"\xff\xfe", b"\xfe\xff"), "is UTF-16 text", "save it as UTF-8"),
    ((b"PK\x03\x04",), "is a zip archive", "unpack it"),
    ((b"\x1f\x8b",), "is packed with gzip", "name it .gz"),
    ((b"BZh",), "is packed with bzip2", "unpack it"),
    ((b"\xfd7zXZ\x00",), "is packed with xz", "unpack it"),
    ((b"\x28\xb5\x2f\xfd",), "is packed with zstd", "unpack it"),
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
