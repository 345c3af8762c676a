"""The feature store: an LMDB with one record an image (see ``record``), and a record ``__meta__``.

Safe to read from many processes: each opens its one environment when it first needs it (lmdb 3 refuses a second
opening of one path, and a forked child must not use its parent's).
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import lmdb
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.words import printable
from vlmt_cli.features.lmdb_file import check_pages
from vlmt_cli.features.record import Regions, decode

SCHEMA = 1
META = b"__meta__"
_OPEN: dict[str, tuple[int, Any]] = {}
_POOLS: dict[tuple[int, int], ThreadPoolExecutor] = {}


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What a store says of itself.

    Attributes:
        schema: version of the record format.
        holds: regions that a detector chose, those of given boxes, or the cells of a grid; empty in stores of older
            versions.
        cells: a side of the grid, whose cells follow each other row by row; 0 without one.
        extractor: the name of what made the features; its hash tells two of the same name apart.
        feature_width, classes: F and C of every record; 0 classes without class scores.
        dtype: of the features.
        images: records.
        checksum: of all keys and their records' checksums, in the order of keys; empty while records are added.
    """

    schema: int = SCHEMA
    holds: Literal["detected", "candidates", "grid", ""] = ""
    cells: int = 0
    extractor: str
    extractor_hash: str
    feature_width: int
    classes: int = 0
    dtype: str = "float16"
    images: int = 0
    checksum: str = ""


class FeatureStore:
    """A store, for reading.

    Raises:
        DataError: there is no store, it is damaged, or of another version.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._name = str(self.path.resolve())  # once, as it takes longer than to find a record
        if not may_be_lmdb(self.path):
            raise DataError("there is no feature store", where=self.path, todo="make one with vlmt pack or extract")
        check_pages(self.path)  # to the LMDB library a damaged page can be the end of the process
        try:
            with _environment(self.path, self._name).begin(buffers=True) as transaction:
                self.meta = read_meta(transaction, self.path)
        except DataError:
            close_here(self.path)
            raise

    @property
    def has_candidates(self) -> bool:
        """Whether its regions are those of given boxes; older stores say so in their folder's name alone."""
        return self.meta.holds == "candidates" or (not self.meta.holds and "candidates" in self.path.name)

    def __len__(self) -> int:
        return int(_environment(self.path, self._name).stat()["entries"]) - 1

    def __contains__(self, key: str) -> bool:
        with _environment(self.path, self._name).begin(buffers=True) as transaction:
            return transaction.get(key.encode()) is not None

    def keys(self) -> list[str]:
        """List the image keys, in order of their bytes."""
        with _environment(self.path, self._name).begin() as transaction:
            names = (key for key in transaction.cursor().iternext(values=False) if key != META)
            return [name.decode(errors="backslashreplace") for name in names]

    def read(self, key: str, verify: bool = False) -> Regions:
        """Read one image's regions into memory of their own. Raises a DataError when the store has none."""
        with _environment(self.path, self._name).begin() as transaction:
            return decode(self._record(transaction, key), f"{self.path}: {key}", verify)

    def items(self, verify: bool = False) -> Iterator[tuple[str, Regions]]:
        """Go through all images in order of their keys; each one's arrays are valid until the next."""
        with _environment(self.path, self._name).begin(buffers=True) as transaction:
            for key, record in transaction.cursor():
                if bytes(key) != META:
                    name = bytes(key).decode(errors="backslashreplace")
                    yield name, decode(record, f"{self.path}: {name}", verify)

    def read_into(
        self,
        keys: Sequence[str],
        features_BVF: Tensor,
        boxes_BV4: Tensor,
        first: int = 0,
        threads: int = 1,
        scores_BVC: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Copy the regions of B images straight from the store into a batch's memory.

        Args:
            keys: B image keys.
            features_BVF: where features go, on the CPU, of any floating type; fastest as float16. Rows beyond an
                image's regions are zeroed.
            boxes_BV4: where boxes go, float32, in pixels.
            first: the first row to fill; 1 leaves room for IMG. Regions beyond V are left out.
            threads: that copy side by side; they do not wait for each other, as copying needs no interpreter.
            scores_BVC: where class scores go, if they are wanted.

        Returns:
            How many regions each image has there, (B,), and the images' sizes, (B, 2), width and height in pixels.

        Raises:
            DataError: an image is not in the store, the batch is made for features of another width, or class scores
                are wanted and the store has none.
        """
        if features_BVF.shape[-1] != self.meta.feature_width:
            raise DataError(
                f"holds features of width {self.meta.feature_width}, where {features_BVF.shape[-1]} is wanted",
                where=self.path,
                todo="take the features that the model was trained on",
            )
        if scores_BVC is not None and not self.meta.classes:
            todo = "take a store that has them: masked regions are recognised as the detector's classes"
            raise DataError("holds no class scores", where=self.path, todo=todo)
        if threads > 1 and len(keys) > 1:
            part = -(-len(keys) // threads)
            cuts = [slice(begin, begin + part) for begin in range(0, len(keys), part)]
            parts = _pool(threads).map(
                lambda cut: self.read_into(
                    keys[cut],
                    features_BVF[cut],
                    boxes_BV4[cut],
                    first,
                    scores_BVC=None if scores_BVC is None else scores_BVC[cut],
                ),
                cuts,
            )
            counts_of, sizes_of = zip(*parts, strict=True)
            return torch.cat(counts_of), torch.cat(sizes_of)
        counts, sizes = np.zeros(len(keys), np.int64), np.zeros((len(keys), 2), np.float32)
        room, boxes, where = features_BVF.shape[1], boxes_BV4.numpy(), f"{self.path}: "
        # numpy is fastest at copying float16 unchanged; torch converts it, twenty times as fast as numpy.
        half = features_BVF.numpy() if features_BVF.dtype == torch.float16 else None
        with _environment(self.path, self._name).begin(buffers=True) as transaction:
            for i, key in enumerate(keys):
                regions = decode(self._record(transaction, key), where + key)
                count = min(len(regions.boxes), room - first)
                last = first + count
                boxes[i, first:last] = regions.boxes[:count]
                if half is not None:
                    half[i, first:last] = regions.features[:count]
                elif count:
                    features_BVF[i, first:last].copy_(_tensor(regions.features)[:count])
                if last < room:
                    boxes[i, last:] = 0
                    features_BVF[i, last:].zero_()
                if scores_BVC is not None and regions.scores is not None:
                    scores_BVC[i, first:last].copy_(_tensor(regions.scores)[:count])
                    scores_BVC[i, last:].zero_()
                counts[i] = count
                sizes[i, 0], sizes[i, 1] = regions.width, regions.height
        return torch.from_numpy(counts), torch.from_numpy(sizes)

    def _record(self, transaction: Any, key: str) -> Any:
        record = transaction.get(key.encode())
        if record is None:
            raise DataError(f"has no features of {key}", where=self.path, todo="extract or pack them")
        return record

    def close(self) -> None:
        """Close the environment of this process."""
        close_here(self.path)


def _environment(path: Path, name: str) -> Any:
    """Return this process's environment of a store, by its absolute name, opened when it is first asked for."""
    process = os.getpid()
    opened_by, environment = _OPEN.get(name, (process, None))
    if environment is not None and opened_by != process:
        environment.close()  # a forked child's copy of its parent's
        environment = None
    if environment is None:
        try:
            # Readahead makes cold reads ten times as fast: a record is a hundred pages in a row.
            environment = lmdb.open(str(path), readonly=True, lock=False, readahead=True, subdir=path.is_dir())
        except lmdb.Error as error:
            raise DataError(f"cannot be opened ({error})", where=path) from error
        _OPEN[name] = (process, environment)
    return environment


def _pool(threads: int) -> ThreadPoolExecutor:
    """Return this process's threads; a forked child has none of its parent's."""
    key = (os.getpid(), threads)
    if key not in _POOLS:
        _POOLS[key] = ThreadPoolExecutor(threads)
    return _POOLS[key]


def close_here(path: Path) -> None:
    """Close this process's environment of a store."""
    _, environment = _OPEN.pop(str(path.resolve()), (0, None))
    if environment is not None:
        environment.close()


def may_be_lmdb(path: Path) -> bool:
    """Whether there is an LMDB: a folder, or a file of its own."""
    return (path / "data.mdb").is_file() or path.is_file()


def read_meta(transaction: Any, path: Path) -> Meta:
    """Read what a store says of itself. Raises a DataError when it is none, or of another version."""
    data = transaction.get(META)
    if data is None:
        raise DataError("is an LMDB, but no feature store", where=path, todo="import it with vlmt pack")
    try:
        meta = msgspec.json.decode(data, type=Meta)
    except (
        msgspec.MsgspecError,
        ValueError,
        RecursionError,
    ) as error:  # a text that is not UTF-8 is a ValueError
        raise DataError(f"its description is damaged ({printable(error)})", where=path) from error
    if meta.schema != SCHEMA:
        maker = "a newer" if meta.schema > SCHEMA else "an older"
        what = f"was made by {maker} vlmt: it has version {meta.schema}, and this vlmt reads {SCHEMA}"
        raise DataError(what, where=path, todo="install a newer vlmt" if meta.schema > SCHEMA else "pack it again")
    return meta


def _tensor(array: NDArray[Any]) -> Tensor:
    """View an array in the store's memory as a tensor, to copy from only: that memory is not to be written."""
    return torch.frombuffer(array.data, dtype=torch.float16).view(array.shape)


with warnings.catch_warnings():
    # torch warns once a process that such a buffer cannot be written; nothing here does.
    warnings.simplefilter("ignore")
    torch.frombuffer(b"12", dtype=torch.float16)
