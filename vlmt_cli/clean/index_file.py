"""An index of benchmarks as a Parquet file; ``clean.index`` says what its rows and its header are."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlmt_cli.base.embedder import EmbeddingModel
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import atomic
from vlmt_cli.base.identity import LINKS, RELATIONS
from vlmt_cli.base.opening import check_file
from vlmt_cli.base.schema import check_version
from vlmt_cli.base.words import printable, quoted
from vlmt_cli.clean.index import AGAIN, BENCHMARK_NAME, EMBEDDINGS, IMAGES, LOOKS, Benchmark, Index, make_index
from vlmt_cli.clean.looks import LOOK_BYTES

INDEX_VERSION = 3
"""1 had no looks, 2 no embeddings."""
ROWS = pa.schema(
    [
        ("benchmark", pa.string()),
        ("image", pa.string()),
        ("alias", pa.string()),
        ("relation", pa.string()),
        ("texts", pa.list_(pa.uint64())),
        ("look", pa.binary()),
        ("model", pa.string()),
        ("embedding", pa.binary()),
    ]
)
_HEADER = b"vlmt_index"
_IMAGE = r"^[a-z][a-z0-9_]*:[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.[A-Za-z0-9_-])*\z"
_ALIAS = r"^(?:url:https://[^\x00-\x20\x7f][^\x00-\x1f\x7f]*|[a-z][a-z0-9_]*:[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.[A-Za-z0-9_-])*)\z"
_DIGEST = re.compile("[0-9a-f]{16,64}")
_LONGEST = 8_300
_WIDEST = 1 << 20
_MOST_BYTES = 2 << 30
_MOST_ROWS = 100_000_000


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    benchmarks: dict[str, Benchmark]
    models: dict[str, EmbeddingModel] = {}


def write_index(path: Path, index: Index) -> None:
    """Write an index as one Parquet file, whole or not at all."""
    header = _Header(INDEX_VERSION, dict(index.benchmarks), dict(index.models))
    rows = [
        _as_rows(index.images),
        _as_rows(index.links),
        _as_rows(index.looks),
        _as_rows(index.embeddings),
    ]
    table = pa.concat_tables(rows).replace_schema_metadata({_HEADER: msgspec.json.encode(header)})
    with atomic(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=19,
            use_dictionary=["benchmark", "relation", "model"],
            column_encoding={"image": "DELTA_BYTE_ARRAY", "alias": "DELTA_BYTE_ARRAY"},
        )


def read_index(path: Path) -> Index:
    """Read an index.

    Raises:
        DataError: it is no index, a newer vlmt's, or holds what no index has.
    """
    check_file(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError("is too large for an index", where=path, todo=AGAIN)
        with pq.ParquetFile(path) as file:
            metadata, rows = file.schema_arrow.metadata or {}, file.metadata.num_rows
            if _HEADER not in metadata:
                raise DataError("is not an index of benchmarks", where=path, todo="make one with vlmt index add")
            header = _header(metadata[_HEADER], path)
            if rows > _MOST_ROWS:
                raise DataError(f"has {rows:,} rows, more than an index has", where=path, todo=AGAIN)
            table = file.read().replace_schema_metadata(None)
            table.validate(full=True)
    except FileNotFoundError as error:
        raise DataError("there is no such index", where=path, todo="make one with vlmt index add") from error
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"is damaged ({printable(error)})", where=path, todo=AGAIN) from error
    for name in ("look", "model", "embedding"):  # younger than the others
        if name not in table.schema.names:
            table = table.append_column(name, pa.nulls(len(table), ROWS.field(name).type))
    try:
        table = table.select(ROWS.names).cast(ROWS) if set(table.schema.names) == set(ROWS.names) else None
    except (pa.ArrowException, KeyError):
        table = None
    if table is None:
        raise DataError("has other columns than an index", where=path, todo=AGAIN)
    is_image, is_look, is_embedding = (pc.is_valid(table[name]) for name in ("benchmark", "look", "embedding"))
    images = table.filter(is_image).select(IMAGES.names)
    links = table.filter(pc.invert(pc.or_(pc.or_(is_image, is_look), is_embedding))).select(LINKS.names)
    looks = table.filter(pc.and_not(is_look, is_image)).select(LOOKS.names)
    embeddings = table.filter(pc.and_not(is_embedding, is_image)).select(EMBEDDINGS.names)
    _check(images, links, looks, header.benchmarks, path)
    _check_embeddings(embeddings, header.models, path)
    return make_index(header.benchmarks, images, links, looks, embeddings, header.models)


def _header(data: bytes, path: Path) -> _Header:
    try:
        raw: Any = json.loads(data)
        version = raw.get("version") if isinstance(raw, dict) else None
        if isinstance(version, int):
            check_version(version, INDEX_VERSION, path)
        header = msgspec.convert(raw, _Header)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise DataError(f"has a damaged header ({printable(error)})", where=path, todo=AGAIN) from error
    for name, benchmark in header.benchmarks.items():
        if not BENCHMARK_NAME.fullmatch(name) or not BENCHMARK_NAME.fullmatch(benchmark.family):
            raise DataError(f"has a benchmark of the name {quoted(name)}", where=path, todo=AGAIN)
        texts = (benchmark.title, benchmark.source, benchmark.licence, *benchmark.missing)
        if any(len(text) > 1_000 or not text.isprintable() for text in texts):
            raise DataError(f"says of {name} what cannot be printed", where=path, todo=AGAIN)
    for digest, model in header.models.items():
        if not _DIGEST.fullmatch(digest) or len(model.name) > 1_000 or not model.name.isprintable():
            raise DataError(f"has a model of the name {quoted(model.name)}", where=path, todo=AGAIN)
        if not 0 < model.width <= _WIDEST:
            raise DataError(f"has a model of {model.width:,} numbers a picture", where=path, todo=AGAIN)
    return header


def _check(images: pa.Table, links: pa.Table, looks: pa.Table, benchmarks: Mapping[str, Benchmark], path: Path) -> None:
    """Refuse what no vlmt writes: unknown benchmarks and relations, and keys that are none."""
    wrong = [
        (
            images["benchmark"],
            pc.is_in(images["benchmark"], value_set=pa.array(benchmarks, pa.string())),
            "a benchmark",
        ),
        (images["image"], pc.match_substring_regex(images["image"], _IMAGE), "an image"),
        (links["image"], pc.match_substring_regex(links["image"], _IMAGE), "an image"),
        (looks["image"], pc.match_substring_regex(looks["image"], _IMAGE), "an image"),
        (links["alias"], pc.match_substring_regex(links["alias"], _ALIAS), "an alias"),
        (links["relation"], pc.is_in(links["relation"], value_set=pa.array(RELATIONS)), "a relation"),
    ]
    for column, is_right, what in wrong:
        is_right = pc.and_(is_right, pc.less_equal(pc.binary_length(column), _LONGEST)).fill_null(False)
        if not pc.all(is_right, min_count=0).as_py():
            value = column.filter(pc.invert(is_right))[0].as_py()
            raise DataError(f"has {quoted(value)}, which is not {what}", where=path, todo=AGAIN)
    if not pc.all(pc.equal(pc.binary_length(looks["look"]), LOOK_BYTES), min_count=0).as_py():
        raise DataError(f"has a look that is not of {LOOK_BYTES} bytes", where=path, todo=AGAIN)


def _check_embeddings(embeddings: pa.Table, models: Mapping[str, EmbeddingModel], path: Path) -> None:
    """Refuse embeddings of unknown models or of another width than theirs, and those of no image."""
    is_image = pc.match_substring_regex(embeddings["image"], _IMAGE).fill_null(False)
    width = pa.array([2 * model.width for model in models.values()], pa.int64())
    wanted = width.take(pc.index_in(embeddings["model"], value_set=pa.array(models, pa.string())))
    is_whole = pc.equal(pc.binary_length(embeddings["embedding"]), wanted).fill_null(False)
    if not pc.all(pc.and_(is_image, is_whole), min_count=0).as_py():
        raise DataError("has an embedding that is of no image, or not of its model", where=path, todo=AGAIN)


def _as_rows(table: pa.Table) -> pa.Table:
    """Write facts in the file's columns; those that they do not have are null."""
    columns = [
        table[field.name].cast(field.type) if field.name in table.schema.names else pa.nulls(len(table), field.type)
        for field in ROWS
    ]
    return pa.table(columns, schema=ROWS)
