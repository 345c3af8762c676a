"""The feature store: an LMDB with one record an image (see ``record``), and a record ``__meta__``.

Safe to read from many processes: each opens its one environment when it first needs it (lmdb 3 refuses a second
opening of one path, and a forked child must not use its parent's).
"""

import hashlib
import os
import shutil
import struct
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lmdb
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlmt_cli.base.errors import DataError, VlmtError
from vlmt_cli.base.files import explained
from vlmt_cli.base.keys import check_image_key
from vlmt_cli.features.lmdb_file import check_length
from vlmt_cli.features.record import Regions, decode, encode, read_header

SCHEMA = 1
META = b"__meta__"
_OPEN: dict[str, tuple[int, Any]] = {}
_POOLS: dict[tuple[int, int], ThreadPoolExecutor] = {}
_GROWTH = 1 << 30
_PAGES = 1 << 20  # what LMDB writes beside the records of a commit, at most
_LONGEST_KEY = 511  # bytes, LMDB's limit
_EVERY = 64  # records a transaction: what a killed process loses at most


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What a store says of itself.

    Attributes:
        schema: version of the record format.
        extractor: the name of what made the features; its hash tells two of the same name apart.
        feature_width, classes: F and C of every record; 0 classes without class scores.
        dtype: of the features.
        images: records.
        checksum: of all keys and their records' checksums, in the order of keys; empty while records are added.
    """

    schema: int = SCHEMA
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
        if not _is_lmdb(self.path):
            raise DataError("there is no feature store", where=self.path, todo="make one with vlmt pack or extract")
        check_length(self.path)
        try:
            with _environment(self.path).begin(buffers=True) as transaction:
                self.meta = _read_meta(transaction, self.path)
        except DataError:
            _close(self.path)
            raise

    def __len__(self) -> int:
        return int(_environment(self.path).stat()["entries"]) - 1

    def __contains__(self, key: str) -> bool:
        with _environment(self.path).begin(buffers=True) as transaction:
            return transaction.get(key.encode()) is not None

    def keys(self) -> list[str]:
        """List the image keys, in order of their bytes."""
        with _environment(self.path).begin() as transaction:
            names = (key for key in transaction.cursor().iternext(values=False) if key != META)
            return [name.decode(errors="backslashreplace") for name in names]

    def read(self, key: str, verify: bool = False) -> Regions:
        """Read one image's regions into memory of their own. Raises a DataError when the store has none."""
        with _environment(self.path).begin() as transaction:
            return decode(self._record(transaction, key), f"{self.path}: {key}", verify)

    def items(self, verify: bool = False) -> Iterator[tuple[str, Regions]]:
        """Go through all images in order of their keys; each one's arrays are valid until the next."""
        with _environment(self.path).begin(buffers=True) as transaction:
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
        # numpy copies float16 as it is with the least ado; torch converts it, twenty times as fast as numpy.
        half = features_BVF.numpy() if features_BVF.dtype == torch.float16 else None
        with _environment(self.path).begin(buffers=True) as transaction:
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
        _close(self.path)


class StoreWriter:
    """A store, for writing: a new one, or one to go on with.

    Records are committed in groups, so that a killed process leaves a store that can be
    gone on with, and a full disk leaves the records before it.

    Raises:
        DataError: the store that is there holds other features.
    """

    def __init__(self, path: Path | str, meta: Meta) -> None:
        self.path = Path(path)
        self.meta = meta
        self._waiting: dict[bytes, bytes] = {}
        if self.path.is_file():
            raise DataError("is a file", where=self.path, todo="name a folder")
        if is_new := not _is_lmdb(self.path):
            with explained(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
        else:
            check_length(self.path)
        _close(self.path)  # this process may have read from it
        try:
            self._environment = lmdb.open(str(self.path), map_size=_size_on_disk(self.path) + _GROWTH)
        except lmdb.Error as error:
            raise DataError(f"cannot be opened ({error})", where=self.path) from error
        try:
            if is_new or not self._environment.stat()["entries"]:
                self._commit({META: msgspec.json.encode(meta)})  # so that what a killed process leaves is a store
            else:
                with self._environment.begin(buffers=True) as transaction:
                    self.meta = _read_meta(transaction, self.path)
                if difference := _difference(self.meta, meta):
                    what, todo = f"the store holds other features: {difference}", "name another store"
                    raise DataError(what, where=self.path, todo=todo)
        except VlmtError:
            self._environment.close()
            raise

    def __contains__(self, key: str) -> bool:
        if key.encode() in self._waiting:
            return True
        with self._environment.begin(buffers=True) as transaction:
            return transaction.get(key.encode()) is not None

    def put(self, key: str, regions: Regions) -> None:
        """Add an image, or replace it.

        Raises:
            DataError: the key is none, or the regions are not what the store holds.
            VlmtError: the disk is full; what was committed stays.
        """
        classes = 0 if regions.scores is None else regions.scores.shape[-1]
        wanted = (self.meta.feature_width, self.meta.classes)
        if regions.features.ndim == 2 and (regions.features.shape[1], classes) != wanted:
            found = f"{regions.features.shape[1]} features and {classes} class scores"
            raise DataError(f"{found} a region, not {wanted[0]} and {wanted[1]}", where=f"{self.path}: {key}")
        try:
            self.put_record(check_image_key(key, self.path), encode(regions))
        except ValueError as error:
            raise DataError(str(error), where=f"{self.path}: {key}") from error

    def put_record(self, key: str, record: bytes) -> None:
        """Add an image's record as it is, such as one of another store. Raises a DataError when the key is too long."""
        name = key.encode()
        if len(name) > _LONGEST_KEY:
            raise DataError(f"the key {key[:40]}... is too long", where=self.path)
        self._waiting[name] = record
        if len(self._waiting) >= _EVERY:
            self.flush()

    def flush(self) -> None:
        """Commit what waits."""
        if self._waiting:
            self._commit({**self._waiting, META: msgspec.json.encode(msgspec.structs.replace(self.meta, checksum=""))})
            self._waiting.clear()

    def finish(self) -> Meta:
        """Commit all, and write how many images there are and the checksum over them."""
        self.flush()
        digest, images = hashlib.sha256(), 0
        with self._environment.begin(buffers=True) as transaction:
            for key, record in transaction.cursor():
                if bytes(key) != META:
                    digest.update(bytes(key) + struct.pack("<I", read_header(record).checksum))
                    images += 1
        self.meta = msgspec.structs.replace(self.meta, images=images, checksum=digest.hexdigest())
        self._commit({META: msgspec.json.encode(self.meta)})
        return self.meta

    def _commit(self, records: dict[bytes, bytes]) -> None:
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    for key, record in records.items():
                        transaction.put(key, record)
                return
            except lmdb.MapFullError:
                self._environment.set_mapsize(self._environment.info()["map_size"] + _GROWTH)
            except lmdb.Error as error:
                full = shutil.disk_usage(self.path).free < sum(map(len, records.values())) + _PAGES
                what = "no space left on the disk" if full else f"cannot be written ({error})"
                todo = "free some space and run the command again: it goes on where it was"
                raise VlmtError(what, where=self.path, todo=todo) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
            elif not issubclass(kind, VlmtError):
                self.flush()
        finally:
            self._environment.close()


def _environment(path: Path) -> Any:
    """Return this process's environment of a store, opened when it is first asked for."""
    name, process = str(path.resolve()), os.getpid()
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


def _close(path: Path) -> None:
    _, environment = _OPEN.pop(str(path.resolve()), (0, None))
    if environment is not None:
        environment.close()


def _is_lmdb(path: Path) -> bool:
    return (path / "data.mdb").is_file() or path.is_file()


def _read_meta(transaction: Any, path: Path) -> Meta:
    data = transaction.get(META)
    if data is None:
        raise DataError("is an LMDB, but no feature store", where=path, todo="import it with vlmt pack")
    try:
        meta = msgspec.json.decode(data, type=Meta)
    except msgspec.MsgspecError as error:
        raise DataError(f"its description is damaged ({error})", where=path) from error
    if meta.schema != SCHEMA:
        raise DataError(f"has version {meta.schema}, not {SCHEMA}", where=path, todo="pack it again")
    return meta


def _difference(ours: Meta, theirs: Meta) -> str:
    """Say in what two stores' features differ; empty when they do not."""
    names = ("extractor", "extractor_hash", "feature_width", "classes", "dtype")
    pairs = ((name, getattr(ours, name), getattr(theirs, name)) for name in names)
    return ", ".join(f"{name} {old!r}, not {new!r}" for name, old, new in pairs if old != new)


def _size_on_disk(path: Path) -> int:
    data = path / "data.mdb"
    return data.stat().st_size if data.exists() else 0


def _tensor(array: NDArray[Any]) -> Tensor:
    """View an array in the store's memory as a tensor, to copy from only: that memory is not to be written."""
    return torch.frombuffer(array.data, dtype=torch.float16).view(array.shape)


with warnings.catch_warnings():
    # torch warns once a process that such a buffer cannot be written; nothing here does.
    warnings.simplefilter("ignore")
    torch.frombuffer(b"12", dtype=torch.float16)
