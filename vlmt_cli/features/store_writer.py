"""Writing a feature store: a new one, or one to go on with."""

import hashlib
import os
import shutil
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lmdb
import msgspec

from vlmt_cli.base.errors import DataError, VlmtError
from vlmt_cli.base.files import explained
from vlmt_cli.base.keys import check_image_key
from vlmt_cli.features.lmdb_file import check_pages
from vlmt_cli.features.record import Regions, encode, read_header
from vlmt_cli.features.store import META, Meta, close_here, may_be_lmdb, read_meta

_GROWTH = 1 << 30
_PAGES = 1 << 20  # what LMDB writes beside the records of a commit, at most
_LONGEST_KEY = 511  # bytes, LMDB's limit
_EVERY = 64  # records a transaction: what a killed process loses at most


class StoreWriter:
    """A store, for writing: a new one, or one to go on with.

    Records are committed in groups, so that a killed process leaves a store that can be
    gone on with, and a full disk leaves the records before it.

    Raises:
        DataError: the existing store holds other features.
    """

    def __init__(self, path: Path | str, meta: Meta) -> None:
        self.path = Path(path)
        self.meta = meta
        self._waiting: dict[bytes, bytes] = {}
        if self.path.is_file():
            raise DataError("is a file", where=self.path, todo="name a folder")
        if not may_be_lmdb(self.path):
            self._create()
        check_pages(self.path)
        close_here(self.path)  # this process may have read from it
        self._environment = self._open(self.path)
        try:
            with self._environment.begin(buffers=True) as transaction:
                self.meta = read_meta(transaction, self.path)
            if difference := _difference(self.meta, meta):
                what, todo = f"the store holds other features: {difference}", "name another store"
                raise DataError(what, where=self.path, todo=todo)
        except VlmtError:
            self._environment.close()
            raise

    def _create(self) -> None:
        """Make a store without images. It is there once it says what it is: a killed process leaves that or nothing."""
        beside = self.path / ".partial"
        with explained(self.path):
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
        self._environment = self._open(beside)
        try:
            self._commit({META: msgspec.json.encode(self.meta)})
        finally:
            self._environment.close()
        with explained(self.path):
            os.replace(beside / "data.mdb", self.path / "data.mdb")
            shutil.rmtree(beside)

    def _open(self, folder: Path) -> Any:
        try:
            return lmdb.open(str(folder), map_size=_size_on_disk(folder) + _GROWTH)
        except lmdb.Error as error:
            raise DataError(f"cannot be opened ({error})", where=self.path) from error

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
            given = f"{regions.features.shape[1]} features and {classes} class scores"
            raise DataError(f"{given} a region, not {wanted[0]} and {wanted[1]}", where=f"{self.path}: {key}")
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


def _difference(own: Meta, other: Meta) -> str:
    """Say in what two stores' features differ; empty when they do not."""
    names = ["extractor", "extractor_hash", "feature_width", "classes", "dtype"]
    names += ["holds"] * bool(own.holds and other.holds)  # an older store does not say
    pairs = ((name, getattr(own, name), getattr(other, name)) for name in names)
    return ", ".join(f"{name} {old!r}, not {new!r}" for name, old, new in pairs if old != new)


def _size_on_disk(path: Path) -> int:
    data = path / "data.mdb"
    return data.stat().st_size if data.exists() else 0
