"""A table of 10 million addresses against the addresses of an index, beside DuckDB on the same columns.

    python benchmarks/scan_table.py                       write the table, measure, note it in RESULTS.md
    python benchmarks/scan_table.py --rows 500000         the same on a part, without noting it

Ten Parquet files hold addresses as strings, 500 of which are among the 100,000 keys. Measured in one process, each step
by its CPU time: reading with pyarrow alone; reading as a mixture; normalising; and the join alone, on the normalised
column, with ``clean.lookup`` and with DuckDB (one thread, a semi join against a table of the keys; from the same Arrow
column and from a table of its own, of which the better counts).
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from results import write_section

from vlmt_cli.base.addresses import flickr_photos, normal_addresses
from vlmt_cli.clean.lookup import Lookup
from vlmt_cli.mixtures.batch import Batch, Source, Wanted
from vlmt_cli.mixtures.forms import FORMS

FILES, KEYS, PLANTED = 10, 100_000, 500
ROWS = 10_000_000
# Shapes of addresses in pools of the web, and how many of a thousand have each; Flickr's share is that of LAION.
SHAPES = (
    (4, "https://farm{0}.staticflickr.com/{1}/{2}_{3}_z.jpg"),
    (296, "https://i.pinimg.com/{0}x/{1}/{3}.jpg"),
    (350, "http://cdn{0}.shop.example.com/s/files/{1}/products/{2}-{3}_1024x1024.jpg?v={2}"),
    (350, "https://{0}.bp.blogspot.example.net/-{3}/{1}/AAAAAAAA/{2}/s1600/IMG_{1}.JPG"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory() as name:
        files = write_table(Path(name), options.rows)
        size = sum(file.stat().st_size for file in files)
        read = min(timed(lambda: [len(batch) for file in files for batch in plain(file)])[0] for _ in range(2))
        as_mixture = min(
            timed(lambda: [batch.records for file in files for batch in mixture(file)])[0] for _ in range(2)
        )
        urls = [batch.images.column("url") for file in files for batch in mixture(file)]
    normalise, columns = timed(lambda: [normal_addresses(column) for column in urls])
    flickr, _ = timed(lambda: [flickr_photos(column) for column in urls])
    keys = keys_of(columns, options.rows)
    build, lookup = timed(lambda: built(keys))
    ours, rows = min((timed(lambda: joined(lookup, columns)) for _ in range(3)), key=lambda result: result[0])
    theirs, how, count = in_duckdb(pa.table({"address": pa.chunked_array(columns)}), pa.table({"key": keys}))
    assert rows == count == PLANTED, (rows, count)

    million = options.rows / 1e6
    lines = [
        "## A table of addresses against an index",
        "",
        f"`python benchmarks/scan_table.py`: {options.rows:,} addresses in {FILES} Parquet files ({size / 1e9:.2f} GB)"
        f" against {KEYS:,} keys, {PLANTED} of them there. {platform.machine()}, {os.cpu_count()} cores, one thread;"
        f" Python {platform.python_version()}, pyarrow {version('pyarrow')}, numpy {version('numpy')},"
        f" duckdb {version('duckdb')}.",
        "",
        "| | CPU time (s) | ns per row |",
        "|---|---:|---:|",
    ]
    for what, seconds in (
        ("reading the column with pyarrow alone", read),
        ("reading as a mixture", as_mixture),
        ("normalising", normalise),
        ("Flickr photo ids", flickr),
        ("building the lookup, once", build),
        ("the join alone: `clean.lookup`", ours),
        (f"the join alone: DuckDB ({how})", theirs),
    ):
        lines.append(f"| {what} | {seconds:.2f} | {1000 * seconds / million:.0f} |")
    lines += ["", f"`clean.lookup` / DuckDB = **{ours / theirs:.2f}**."]
    print("\n".join(lines))
    if options.rows == ROWS:
        write_section("scan-table", lines)


def write_table(folder: Path, rows: int) -> list[Path]:
    """Write random addresses, and captions that nobody reads, into ten files."""
    random = np.random.default_rng(0)
    files = []
    for number in range(FILES):
        count = rows // FILES
        table = pa.table({"URL": addresses(random, count), "TEXT": random.integers(0, 10**15, count).astype(str)})
        files.append(folder / f"part-{number:05}.parquet")
        pq.write_table(table, files[-1])
    return files


def addresses(random: np.random.Generator, count: int) -> pa.Array:
    """Return random addresses."""
    parts = [pa.array(random.integers(1, 10, count)).cast(pa.string())]
    parts += [pa.array(random.integers(0, most, count)).cast(pa.string()) for most in (10**4, 10**11, 10**15)]
    kind = np.searchsorted(np.cumsum([share for share, _ in SHAPES]), random.integers(0, 1000, count), "right")
    return pc.choose(pa.array(kind), *(filled(shape, parts) for _, shape in SHAPES))


def filled(shape: str, parts: list[pa.Array]) -> pa.Array:
    """Fill a shape's fields with the values of N rows."""
    pieces: list[Any] = []
    for piece in shape.replace("{", "}").split("}"):
        pieces.append(parts[int(piece)] if piece.isdigit() and len(piece) == 1 else piece)
    return pc.binary_join_element_wise(*pieces, "")


def plain(file: Path) -> Iterator[pa.RecordBatch]:
    return pq.ParquetFile(file).iter_batches(1 << 17, columns=["URL"])


def mixture(file: Path) -> Iterator[Batch]:
    return FORMS["parquet"].read(Source(file, "parquet"), Wanted())


def keys_of(columns: list[pa.Array], rows: int) -> pa.Array:
    """Return keys of the same shapes, and some that are there."""
    random = np.random.default_rng(1)
    there = pa.chunked_array(columns).take(pa.array(random.choice(rows, PLANTED, replace=False))).combine_chunks()
    return pa.concat_arrays([there, normal_addresses(addresses(random, KEYS - PLANTED))])


def built(keys: pa.Array) -> Lookup:
    lookup = Lookup(keys)
    lookup.matches(keys[:1])
    return lookup


def joined(lookup: Lookup, columns: list[pa.Array]) -> int:
    return sum(len(lookup.matches(column)[0]) for column in columns)


def in_duckdb(addresses: pa.Table, keys: pa.Table) -> tuple[float, str, int]:
    """Return the least CPU time of the join in DuckDB, from where its columns came, and how many rows it gave."""
    connection = duckdb.connect()
    connection.execute("set threads = 1")
    connection.register("addresses", addresses)
    connection.register("keys", keys)
    connection.execute("create table own_keys as select * from keys")
    connection.execute("create table own_addresses as select * from addresses")
    results = []
    for how, left, right in (("from Arrow", "addresses", "keys"), ("its own table", "own_addresses", "own_keys")):
        query = f"select address from {left} semi join {right} on address = key"
        for _ in range(3):
            seconds, rows = timed(lambda query=query: len(connection.execute(query).fetchall()))
            results.append((seconds, how, rows))
    return min(results)


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    result = function()
    return time.process_time() - started, result


if __name__ == "__main__":
    main()
