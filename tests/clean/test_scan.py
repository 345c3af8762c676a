"""Scans against a brute force over names written apart from the readers, and files given back without the hits."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixtures.files import MAKERS

from vlmt_cli.base.identity import LINKS, links_table
from vlmt_cli.clean.builtin_index import builtin_index
from vlmt_cli.clean.image_lists import image_list
from vlmt_cli.clean.index import Benchmark, image_rows, make_index
from vlmt_cli.clean.scan import HITS, scan_batch
from vlmt_cli.clean.scan_claim import compared_with, conclusion, without_hit
from vlmt_cli.clean.scan_index import ready
from vlmt_cli.clean.scan_report import make_report
from vlmt_cli.clean.scan_write import write_mixture
from vlmt_cli.clean.texts import hash_texts
from vlmt_cli.commands.scan_sources import scan_sources
from vlmt_cli.mixtures.batch import Wanted
from vlmt_cli.mixtures.forms import FORMS, LISTS
from vlmt_cli.mixtures.opening import form_of, sources_of
from vlmt_cli.mixtures.rules import NO_RULES

TESTED = {"coco:7", "coco:9", "flickr30k:555"}
# Every name that the images below have in a mixture, and the tested image that each is, if any.
NAMES = {
    "coco/train2017/000000000007.jpg": "coco:7",
    "COCO_val2014_000000000009.jpg": "coco:9",
    "a/b/000000000009.jpg": "coco:9",
    "vg/VG_100K_2/70.jpg": "coco:7",  # by the crosswalk
    "flickr30k-images/555.jpg": "flickr30k:555",
    "coco/train2017/000000000008.jpg": None,
    "vg/VG_100K/7.jpg": None,  # Visual Genome's 7 is another image than COCO's
    "gqa/images/71.jpg": None,
    "private/7.jpg": None,
    "ocr_vqa/images/0521545455.jpg": None,
}
URLS = {
    "https://farm1.staticflickr.com/2/555_ab.jpg": "flickr30k:555",
    "http://images.cocodataset.org/train2017/000000000007.jpg": "coco:7",
    "https://cs.stanford.edu/people/rak248/VG_100K_2/70.jpg": "coco:7",  # by the crosswalk
    "http://a.org/7.jpg": None,
}


@pytest.fixture(scope="module")
def index():
    images = image_rows(
        "bench", pa.array(sorted(TESTED)), hash_texts(pa.array(["what is it doing?", "a dog runs", "x y z"]))
    )
    links = pa.concat_tables([LINKS.empty_table(), links_table(pa.array(["vg:70"]), pa.array(["coco:7"]), "crosswalk")])
    made = make_index({"bench": Benchmark("A benchmark", "bench", of=3)}, images, links)
    return ready(made, ["bench"])


def scan(paths, index, texts=False):
    """The hits of files, in their order."""
    parts = [HITS.empty_table()]
    for source in (source for path in paths for source in sources_of(str(path))):
        for batch in FORMS[source.form].read(source, Wanted(texts=texts)):
            hits, _ = scan_batch(batch, index, source.root)
            parts.append(hits.set_column(0, "file", pa.array([str(source.path)] * len(hits), pa.string())))
    return pa.concat_tables(parts)


def record(number, images):
    image = {} if not images else {"image": images[0]} if len(images) == 1 else {"image": images}
    return {"id": f"r{number}", **image, "conversations": [{"from": "human", "value": "<image>\nWhat is it doing?"}]}


def found(hits):
    return {(row["record"], row["position"], row["image"]) for row in hits.to_pylist()}


FILES = st.tuples(
    st.sampled_from(sorted(MAKERS)),
    st.lists(st.lists(st.sampled_from([*NAMES, *URLS, "70.jpg"]), max_size=3), min_size=1, max_size=6),
)
ROOT = "./data/vg/VG_100K_2/"
"""Of the images in a list of mixtures whose form has such a field: there a number alone says which image it is."""


def list_of(kind, paths):
    """A list of mixtures that names some files."""
    if kind == "llamafactory1":
        return "".join(f"part{number}:\n  path: {path}\n  source: local\n" for number, path in enumerate(paths))
    if kind == "onevision":
        return "datasets:\n" + "".join(f"  - json_path: {path}\n    sampling_strategy: all\n" for path in paths)
    entry = {
        "internvl": lambda path: {"root": ROOT, "annotation": path, "repeat_time": 1},
        "qwen": lambda path: {"annotation_path": path, "data_path": ROOT},
        "llamafactory": lambda path: {"file_name": path, "formatting": "sharegpt"},
    }[kind]
    return json.dumps({f"part{number}%50": entry(str(path)) for number, path in enumerate(paths)})


@settings(max_examples=40)
@given(st.lists(FILES, min_size=1, max_size=3), st.sampled_from([None, *LISTS]), st.booleans())
def test_what_is_written_has_no_hit_and_loses_nothing_else(tmp_path_factory, index, files, listed, only_images):
    folder = tmp_path_factory.mktemp("mixture")
    truth = {**NAMES, **URLS, "70.jpg": None}
    if listed in ("internvl", "qwen"):
        truth |= {"70.jpg": "coco:7", "a/b/000000000009.jpg": None}
    paths, rows, expected = [], {}, set()
    for number, (kind, drawn) in enumerate(files):
        path = folder / "parts" / str(number) / MAKERS[kind].name
        path.parent.mkdir(parents=True)
        rows[path] = MAKERS[kind].write(path, drawn)
        assert form_of(path) == kind.split()[0]
        expected |= {
            (str(path), r, p, truth[name])
            for r, names in enumerate(rows[path]) for p, name in enumerate(names) if truth[name]
        }  # fmt: skip
        paths.append(path)
    given = [str(path) for path in paths]
    if listed:
        given = [str(folder / ("mix.yaml" if listed in ("onevision", "llamafactory1") else "mix.json"))]
        Path(given[0]).write_text(list_of(listed, paths))
    sources, spans = [source for each in given for source in sources_of(each)], {}
    scanned, _, hits = scan_sources(sources, index, NO_RULES, None, spans)
    assert {(row["file"], row["record"], row["position"], row["image"]) for row in hits.to_pylist()} == expected
    counts = [each.records for each in scanned]
    assert counts == [len(rows[source.path]) for source in sources]

    before = [MAKERS[kind].read(path) for path, (kind, _) in zip(paths, files, strict=True)]
    write_mixture(given, sources, counts, hits, folder / "clean", only_images, spans=spans)
    base = folder if listed else Path(os.path.commonpath([path.parent for path in paths]))
    for path, (kind, _), had in zip(paths, files, before, strict=True):
        hit = {r: {p for file, record, p, _ in expected if (file, record) == (str(path), r)} for r in range(len(had))}
        if only_images:
            had = [MAKERS[kind].without(each, hit[r]) if hit[r] else each for r, each in enumerate(had)]
        else:
            had = [None if hit[r] else each for r, each in enumerate(had)]
        kept = MAKERS[kind].read(folder / "clean" / path.relative_to(base))
        assert kept == [each for each in had if each is not None]
    assert not len(scan([folder / "clean" / Path(each).relative_to(base) for each in given], index))


def test_parquet_by_names_addresses_and_hashes(index, tmp_path):
    names = [*NAMES, *[None] * len(URLS)]
    urls = [None] * len(NAMES) + list(URLS)
    uids = [f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128:032x}" for number in range(1, len(names) + 1)]
    table = pa.table({"image": names, "url": urls, "text": [f"c{n}" for n in range(len(names))], "uid": uids})
    pq.write_table(table, tmp_path / "mix.parquet", row_group_size=5)
    hits = scan([tmp_path / "mix.parquet"], index)
    truth = [*NAMES.values(), *URLS.values()]
    assert found(hits) == {(row, 0, image) for row, image in enumerate(truth) if image}
    ways = {row["record"]: row["how"] for row in hits.to_pylist()}
    assert ways[0] == "id" and ways[3] == "crosswalk" and ways[len(NAMES)] == "flickr"
    sources = sources_of(str(tmp_path / "mix.parquet"))
    write_mixture([str(tmp_path / "mix.parquet")], sources, [len(table)], hits, tmp_path / "clean")
    kept = pq.read_table(tmp_path / "clean" / "mix.parquet")
    assert kept.equals(table.filter(pa.array([image is None for image in truth])))
    subset = np.load(tmp_path / "clean" / "subset.npy")  # as DataComp's tools read it
    assert subset.tolist() == sorted((int(uid[:16], 16), int(uid[16:], 16)) for uid in kept["uid"].to_pylist())
    assert subset.dtype == np.dtype("u8,u8") and not len(scan([tmp_path / "clean"], index))


def test_a_record_whose_text_has_marks_for_its_images_goes_as_a_whole(index, tmp_path):
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    names = [None, "private/1.jpg", "COCO_val2014_000000000009.jpg", "private/2.jpg"]
    images = [None if name is None else {"bytes": b"x", "path": name} for name in names]
    said = [[{"user": "<image><image><image>Which?", "assistant": "The first."}], [{"user": "Which?"}]]
    table = pa.table({"images": pa.array([images] * 2, pa.list_(struct)), "texts": said})
    pq.write_table(table, tmp_path / "mix.parquet")
    hits, sources = scan([tmp_path / "mix.parquet"], index), sources_of(str(tmp_path / "mix.parquet"))
    given = [str(tmp_path / "mix.parquet")]
    _, said = write_mixture(given, sources, [2], hits, tmp_path / "clean", only_images=True)
    assert said == "1 file, without 1 record, and 1 more record without the images that hit"
    (left,) = pq.read_table(tmp_path / "clean" / "mix.parquet")["images"].to_pylist()
    assert left == [images[0], images[1], images[3]]


def test_whole_records_that_go_for_an_image_are_said(index, tmp_path):
    names = ["COCO_val2014_000000000009.jpg", "private/1.jpg"]
    (tmp_path / "mix.json").write_text(json.dumps([record(0, names), record(1, names[1:])]))
    hits, sources = scan([tmp_path / "mix.json"], index), sources_of(str(tmp_path / "mix.json"))
    _, said = write_mixture([str(tmp_path / "mix.json")], sources, [2], hits, tmp_path / "clean", only_images=True)
    assert said == "1 file, without 1 record; 1 of them went whole, as their form does not let images go alone"


def test_a_text_that_the_benchmark_asks_is_told_from_its_image_alone(index, tmp_path):
    rows = [record(0, ["COCO_val2014_000000000007.jpg"]), record(1, ["COCO_val2014_000000000009.jpg"])]
    (tmp_path / "mix.json").write_text(json.dumps(rows))
    shows = {row["record"]: row["shows"] for row in scan([tmp_path / "mix.json"], index, texts=True).to_pylist()}
    assert shows == {0: "image and text", 1: "image"}
    assert set(scan([tmp_path / "mix.json"], index)["shows"].to_pylist()) == {"image"}


def test_what_has_no_name_is_counted_by_folder_and_foreign_sources_apart(index, tmp_path):
    rows = [record(number, [name]) for number, name in enumerate([*NAMES, "private/8.jpg"])] + [record(99, [])]
    (tmp_path / "mix.json").write_text(json.dumps(rows))
    (source,) = sources_of(str(tmp_path / "mix.json"))
    (batch,) = FORMS[source.form].read(source, Wanted())
    tally = scan_batch(batch, index)[1]
    assert tally.unnamed == {"private": 2} and tally.examples == {"private": ["private/7.jpg", "private/8.jpg"]}
    assert scan_batch(batch, index, "team/")[1].unnamed == {"team/private": 2}
    assert tally.other_sources == {"ocrvqa": 1}
    assert (tally.records, tally.images, tally.without_image) == (len(NAMES) + 2, len(NAMES) + 1, 1)
    assert tally.compared == tally.images - 2


def test_every_name_and_address_beside_an_image_is_tried(index, tmp_path):
    mirror, seven, photo, other = ("http://m.org/1.jpg", *list(URLS)[1::-1], "coco/train2017/000000000008.jpg")
    rows = [
        {"image": "0.png", "url": mirror, "coco_url": seven},
        {"image": "0.png", "coco_url": mirror, "flickr_url": photo},
        {"image": other, "flickr_url": photo},
        {"image": other, "coco_url": seven},
        {"image": "0.png", "file_name": "vg/VG_100K_2/70.jpg"},
        {"image": "a.png", "image_id": 7},
        {"image": other, "image_id": 7},
        {"image": other, "url": mirror, "coco_url": other},
    ]
    shown = ["coco:7", "flickr30k:555", "flickr30k:555", "coco:7", "coco:7", "coco:7", None, None]
    (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    names = sorted({name for row in rows for name in row})
    columns = {name: [None if (value := row.get(name)) is None else str(value) for row in rows] for name in names}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    truth = [(number, key) for number, key in enumerate(shown) if key]
    for name in ("a.jsonl", "a.parquet"):
        sources = sources_of(str(tmp_path / name))
        _, tally, hits = scan_sources(sources, index, NO_RULES, "coco")
        assert [(row["record"], row["image"]) for row in hits.to_pylist()] == truth
        assert (tally.images, sum(tally.ways.values()), len(tally.unnamed)) == (8, 8, 0)
    split = image_list("mine", "train", str(tmp_path / "a.parquet"), "coco")
    listed = dict(zip(split.ids.to_pylist(), split.images.to_pylist(), strict=True))
    wanted = {"0": "coco:7", "1": "flickr:555", "2": "flickr:555", "3": "coco:7", "4": "vg:70", "5": "coco:7"}
    assert {number: key in listed[number] for number, key in wanted.items()} == dict.fromkeys(wanted, True)
    assert split.unnamed == 0 and listed["6"] == ["coco:8"]


def test_an_image_without_a_name_is_compared_only_with_benchmarks_that_have_such(tmp_path):
    sha256, rows = "5" * 64, [record(0, ["https://a.org/x"]), {"image_sha256": "6" * 64}, record(2, ["coco/1.jpg"])]
    (tmp_path / "mix.json").write_text(json.dumps([*rows, record(3, ["https://live.staticflickr.com/1/7_ab.jpg"])]))
    links = [
        links_table(pa.array(["nlvr2:x"]), pa.array(["url:https://b.org/x"]), "url"),
        links_table(pa.array(["hashed:x"]), pa.array([f"sha256:{sha256}"]), "file"),
    ]
    keys = {"plain": "coco:5", "web": "nlvr2:x", "hashed": "hashed:x", "photos": "flickr30k:8"}
    images = pa.concat_tables([image_rows(name, pa.array([key])) for name, key in keys.items()])
    made = make_index({name: Benchmark(name, name) for name in keys}, images, pa.concat_tables(links))
    for names, compared, of_any in ((["plain"], [1], 1), ([*keys], [1, 3, 2, 2], 4)):
        known = ready(made, names)
        scanned, tally, hits = scan_sources(sources_of(str(tmp_path / "mix.json")), known, NO_RULES, None)
        report = make_report(scanned, tally, hits, known)
        assert [compared_with(report, name) for name in names] == compared
        assert report.compared == of_any and f"{of_any} of 4 images could be compared" in conclusion(report)
    assert "1 of them only with web, photos" in conclusion(report)
    assert without_hit(report)[-1] == "None of, in the 1 image compared with them: plain."


def test_a_list_of_mixtures_is_written_with_its_members(index, tmp_path):
    (tmp_path / "lists").mkdir()
    for part, name in (("a", "COCO_val2014_000000000007.jpg"), ("b", "coco/train2017/000000000008.jpg")):
        (tmp_path / "blobs" / part).parent.mkdir(exist_ok=True)
        (tmp_path / "blobs" / part).write_text(json.dumps([record(0, [name]), record(1, [])]))
        (tmp_path / "lists" / f"{part}.json").symlink_to(f"../blobs/{part}")  # as in the cache of a hub
    parts = [f"  - json_path: {part}.json\n    sampling_strategy: all\n" for part in "ab"]
    (tmp_path / "lists" / "mix.yaml").write_text("datasets:\n" + "".join(parts))
    for number, way in enumerate(("lists/mix.yaml", "lists/*.yaml", "lists")):
        hits, sources = scan([tmp_path / way], index), sources_of(str(tmp_path / way))
        assert len(hits) == 1
        clean = tmp_path / "lists" / ".." / f"clean{number}"
        write_mixture([str(tmp_path / way)], sources, [2, 2], hits, clean)
        again = sources_of(str(clean / "mix.yaml"))
        assert {source.path.resolve() for source in again} == {
            tmp_path / f"clean{number}" / f"{part}.json" for part in "ab"
        }
        assert not len(scan([clean / "mix.yaml"], index))


def test_a_list_that_names_a_folder_means_the_files_in_it(index, tmp_path):
    names = ["COCO_val2014_000000000007.jpg", "coco/train2017/000000000009.jpg"]
    (tmp_path / "in" / "x" / "images").mkdir(parents=True)
    (tmp_path / "in" / "x" / "images" / "a.jpg").write_bytes(b"\xff\xd8\xff")
    for number, name in enumerate(names):
        rows = [{"messages": [], "images": [name]}, {"messages": []}]
        (tmp_path / "in" / "x" / f"{number}.json").write_text(json.dumps(rows))
    for where in ("in/list.json", "in/x/list.json"):
        path = tmp_path / where
        path.write_text(json.dumps({"d": {"file_name": "x"}}))
        sources, hits = sources_of(str(path)), scan([path], index)
        assert [source.path.name for source in sources] == ["0.json", "1.json"] and len(hits) == 2
        write_mixture([str(path)], sources, [2, 2], hits, tmp_path / "out")
        (again,) = (tmp_path / "out").rglob("list.json")
        assert len(sources_of(str(again))) == 2 and not len(scan([again], index))
        path.unlink()
        again.unlink()


def test_the_published_figures_come_out_of_the_real_lists(real_data, tmp_path):
    lists = real_data / "lists"
    val2017 = set((lists / "coco_val2017.txt").read_text().split())
    known = ready(builtin_index(), ["coco-test", "pope"])
    # train2017 is train2014 and val2014 less val2017, and both benchmarks' images are of val2014.
    of_val2014 = {*(lists / "karpathy_test.txt").read_text().split(), *(lists / "pope_coco.txt").read_text().split()}
    train2017 = sorted(of_val2014 - val2017)
    (tmp_path / "train2017.txt").write_text(
        "\n".join(f"train2017/{int(key.partition(':')[2]):012}.jpg" for key in train2017)
    )
    hits = scan([tmp_path / "train2017.txt"], known)
    counts = {
        name: len({row["image"] for row in hits.to_pylist() if row["benchmark"] == name})
        for name in ("coco-test", "pope")
    }
    assert counts == {"coco-test": 4407, "pope": 426}


REAL = (
    "qwen/single_images.json",
    "llamafactory/mllm_demo.json",
    "img2dataset/test_1000.parquet",
    "webdataset/sample.tgz",
    "ms_swift/multi_modal_1.jsonl",
)


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_and_counted_whole(real_data, index, name):
    path = Path(real_data) / "mixtures" / name
    (source,) = sources_of(str(path))
    tallies = [scan_batch(batch, index, source.root)[1] for batch in FORMS[source.form].read(source, Wanted())]
    assert sum(each.records for each in tallies) > 0
    for each in tallies:
        assert sum(each.ways.values()) + sum(each.unnamed.values()) == each.images
