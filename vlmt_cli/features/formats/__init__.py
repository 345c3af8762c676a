"""Other people's feature files: one module a format, and telling them apart."""

from collections.abc import Callable, Generator
from pathlib import Path

from vlmt_cli.base.beginnings import beginning
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.opening import open_file
from vlmt_cli.base.words import printable
from vlmt_cli.features.formats import arrays, authors_lmdb, hdf5, tensorpack, tsv
from vlmt_cli.features.formats.entry import Entry, PackOptions
from vlmt_cli.features.lmdb_file import is_lmdb, opened
from vlmt_cli.features.store import META

FORMATS: dict[str, Callable[[Path, PackOptions], Generator[Entry]]] = {
    "lmdb": authors_lmdb.entries,
    "tensorpack": tensorpack.entries,
    "tsv": tsv.entries,
    "arrays": arrays.entries,
    "hdf5": hdf5.entries,
}
_PACKED = (
    (b"\x1f\x8b", "gzip", "unpack it with gunzip, and name what comes out"),
    (b"PK\x03\x04", "zip", "unpack it, and name the file or folder in it"),
    (b"BZh", "bzip2", "unpack it with bunzip2, and name what comes out"),
    (b"\xfd7zXZ\x00", "xz", "unpack it with unxz, and name what comes out"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unpack it with unzstd, and name what comes out"),
)
_INSTEAD = {
    "is a Parquet file": "name the features that it was made of: LMDB, TSV, HDF5, .npy or .npz",
    "is a pickle": "name the HDF5 file or the features beside it",
}


def recognise(path: Path) -> str:
    """Return the format of a file or folder, a key of ``FORMATS``, by what is in it.

    Raises:
        DataError: it is none of them, or there is nothing.
    """
    if not path.exists():
        raise DataError("there is no such file or folder", where=path, todo="name the features to pack")
    if is_lmdb(path):
        with opened(path) as file:
            if file.get(META) is not None:
                raise DataError("is a feature store already", where=path, todo="use it as it is")
            return "tensorpack" if file.get(tensorpack.KEYS) is not None else "lmdb"
    if path.is_dir():
        if arrays.array_files(path):
            return "arrays"
        what = "has no .npy or .npz files and no data.mdb"
        others = sorted(each.name for each in path.iterdir() if each.is_file() and not each.name.startswith("."))
        todo = f"name a file in it, such as {printable(others[0])}" if others else "name the features to pack"
        raise DataError(what, where=path, todo=todo)
    if path.suffix in arrays.SUFFIXES:
        return "arrays"
    with open_file(path) as file:
        start = file.read(1 << 12)
    if start.startswith(hdf5.MAGIC):
        return "hdf5"
    if b"\t" in start:
        tsv.layout(path)
        return "tsv"
    raise _none_of_them(path, start)


def _none_of_them(path: Path, start: bytes) -> DataError:
    """Say what a file is that has no features as it is, and what to do with it."""
    if not start.strip():
        return DataError("is empty", where=path, todo="download it again")
    for magic, title, todo in _PACKED:
        if start.startswith(magic):
            return DataError(f"is packed with {title}", where=path, todo=todo)
    if said := beginning(start):
        return DataError(f"{said[0]}, not a file of features", where=path, todo=_INSTEAD.get(said[0], said[1]))
    todo = "name an LMDB, a TSV, an HDF5 file, or .npy and .npz files or their folder"
    return DataError("is in none of the known formats", where=path, todo=todo)
