"""Drivers of a scan: what is killed goes on, and everything gives the same."""

import http.server
import json
import re
import threading
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clean.dying import open_or_die

from vlmt_cli.base.errors import DataError, VlmtError
from vlmt_cli.base.identity import LINKS
from vlmt_cli.clean import drivers
from vlmt_cli.clean.drivers import Work, from_anywhere, in_process, in_processes, units_of, whole
from vlmt_cli.clean.index import Benchmark, image_rows, make_index
from vlmt_cli.clean.scan import Tally
from vlmt_cli.clean.scan_daft import daft_sources, on_daft
from vlmt_cli.clean.scan_drive import Pictures, Scanned
from vlmt_cli.clean.scan_index import ready
from vlmt_cli.clean.scan_kept import Kept, packed, scan_units, unpacked
from vlmt_cli.clean.scan_shards import read_shards, scan_shard
from vlmt_cli.mixtures.batch import Source
from vlmt_cli.mixtures.opening import sources_of

NAMES = ["coco/train2017/000000000007.jpg", "private/1.jpg", "coco/train2017/000000000008.jpg", "sam/images/sa_1.jpg"]


@pytest.fixture(scope="module")
def work():
    images = image_rows("bench", pa.array(["coco:7", "coco:9"]))
    index = make_index({"bench": Benchmark("A benchmark", "bench", of=2)}, images, LINKS.empty_table())
    return Work(ready(index, ["bench"]))


@pytest.fixture
def pool(tmp_path, monkeypatch):
    """Units of three files; the Parquet is cut into its row groups."""
    monkeypatch.setattr(drivers, "_BYTES", 1)
    for number in range(2):
        lines = [{"id": f"{number}-{row}", "image": NAMES[(row + number) % 4], "conversations": []} for row in range(9)]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / f"{number}.jsonl").write_text(text + '{"id": 1, "image": 5}\n')
    pq.write_table(pa.table({"image": NAMES * 6}), tmp_path / "rows.parquet", row_group_size=7)
    units, _ = units_of(sources_of(str(tmp_path)))
    assert len(units) == 6
    return units


def told(done):
    """All that a scan gives, as it is put together."""
    found = whole(done[number] for number in sorted(done))
    return found.records, found.hits, found.tally


def test_row_groups_apart_have_the_records_of_the_file(work, pool):
    unit = pool[-1][1]
    parts = whole(part for _, part in in_process(work, [(n, each) for n, each in pool if each.path == unit.path]))
    file = work.scan(replace(unit, groups=None))
    assert parts.hits.equals(file.hits) and parts.tally == file.tally and parts.records == file.records == 24
    assert parts.hits["record"].to_pylist() == [0, 4, 8, 12, 16, 20]


def test_what_is_kept_is_what_was_scanned(work, pool):
    scanned = work.scan(pool[0][1])
    scanned.tally.shown["sha256:0"] = b"\xff\xd8"
    scanned.tally.unseen["no file"] += 2
    again = unpacked(packed(scanned))
    assert again.hits.equals(scanned.hits) and again[::2] == scanned[::2] == (10, scanned.tally)
    empty = Scanned(0, scanned.hits.slice(0, 0), Tally())
    assert unpacked(packed(empty)).hits.schema == scanned.hits.schema


def test_a_scan_that_was_interrupted_goes_on(work, pool, tmp_path):
    wanted = told(scan_units(work, pool, in_process))

    def interrupted(work, units):
        yield from islice(in_process(work, units), 4)
        raise KeyboardInterrupt

    folder = tmp_path / "out.progress"
    with pytest.raises(KeyboardInterrupt), Kept(folder, work) as kept:
        scan_units(work, pool, interrupted, kept)
    pool[1][1].path.write_text(pool[1][1].path.read_text())  # as another program might: it is scanned again
    again = []
    with Kept(folder, work) as kept:
        done = scan_units(work, pool, lambda work, units: again.extend(units) or in_process(work, units), kept)
    assert told(done) == wanted and [number for number, _ in again] == [1, 4, 5]
    other = replace(work, source="coco")
    assert Kept(folder, other).read(pool) == {}, "scanned in another way"


def test_a_worker_that_is_killed_loses_nothing(work, pool, tmp_path):
    wanted = told(scan_units(work, pool, in_process))
    file = str(pool[-1][1].path)
    deadly = Source(Path("nowhere"), "parquet", origin=file, opens=open_or_die, groups=pool[-1][1].groups)
    units = [*pool[:-1], (pool[-1][0], deadly)]
    with pytest.raises(VlmtError, match="a process that scans died; run it again"), Kept(tmp_path / "p", work) as kept:
        scan_units(work, units, in_processes(2), kept)
    with Kept(tmp_path / "p", work) as kept:
        assert kept.read(units), "what was complete was kept"
        assert told(scan_units(work, units, in_process, kept)) == wanted


def test_shards_refuse_gaps_doubles_and_other_scans(work, pool, tmp_path):
    out = tmp_path / "out"
    run = partial(scan_shard, work, pool, out, drive=in_process)
    with pytest.raises(DataError, match="there are no shards"):
        read_shards(work, pool, out)
    run(shard=(1, 3)), run(shard=(3, 3))
    with pytest.raises(DataError, match="1 of 3 shards are missing or unfinished: 2; run --shard 2/3"):
        read_shards(work, pool, out)
    run(shard=(2, 3))
    assert told(read_shards(work, pool, out)) == told(scan_units(work, pool, in_process))
    with pytest.raises(DataError, match="another index or other options"):
        read_shards(replace(work, source="vg"), pool, out)
    with pytest.raises(DataError, match="a file that the mixture has not"):
        read_shards(work, pool[1:], out)
    with pytest.raises(DataError, match="1 of 7 parts are in no shard"):
        read_shards(work, [*pool, (6, replace(pool[0][1], root="a"))], out)
    folder = tmp_path / "out.shards-of-3"
    part = next((folder / "1").glob("part-*"))
    (folder / "2" / f"{part.stem}0.parquet").write_bytes(part.read_bytes())
    with pytest.raises(DataError, match="a part of the mixture twice; remove it and run --shard 2/3 again"):
        read_shards(work, pool, out)


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Gives parts of files, as object stores do."""

    def do_GET(self):
        content = (Path(self.directory) / self.path.lstrip("/")).read_bytes()
        first, last = 0, len(content) - 1
        if asked := re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "")):
            first, last = (
                (int(asked[1]), min(int(asked[2] or last), last)) if asked[1] else (last - int(asked[2]) + 1, last)
            )
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[first : last + 1])

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def test_jobs_with_whole_paths_are_merged_with_the_paths_that_were_given(work, pool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    units = [(number, replace(unit, path=unit.path.relative_to(tmp_path))) for number, unit in pool]
    work = replace(work, pictures=Pictures(Path("photos"), 1))
    there, theirs = from_anywhere(work, units)
    for number in (1, 2):
        scan_shard(there, theirs, tmp_path / "out", (number, 2), in_process)
    assert told(read_shards(work, units, tmp_path / "out")) == told(dict(in_process(work, units)))
    with Kept(tmp_path / "kept", there) as kept:
        for number, scanned in in_process(there, theirs):
            kept.add(dict(theirs)[number], scanned)
        kept.write()
    assert sorted(Kept(tmp_path / "kept", work).read(units)) == list(range(6))


def test_daft_reads_parquet_elsewhere(work, pool):
    folder = pool[0][1].path.parent
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/rows.parquet"
        (there,) = daft_sources(address)
        (result,) = dict(on_daft()(work, [(0, there)])).values()
        server.shutdown()
    assert there.name == address and result.hits.equals(work.scan(replace(pool[-1][1], groups=None)).hits)
