"""Other people's feature files: one module a format, and telling them apart."""

from collections.abc import Callable, Generator
from pathlib import Path

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.opening import open_file
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
        raise DataError("has no .npy or .npz files and no data.mdb", where=path, todo="name the features to pack")
    if path.suffix in arrays.SUFFIXES:
        return "arrays"
    with open_file(path) as file:
        start = file.read(1 << 12)
    if start.startswith(hdf5.MAGIC):
        return "hdf5"
    if b"\t" in start:
        tsv.layout(path)
        return "tsv"
    raise DataError("is none of the formats that are known", where=path, todo=f"those are {', '.join(FORMATS)}")
