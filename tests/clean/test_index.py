"""The index of benchmarks: aliases against a search written apart from it, files, hostile files, the built-in one."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.identity import HOW, LINKS
from vlmt_cli.clean.builtin_index import BUILTIN, builtin_index, make_builtin_index
from vlmt_cli.clean.index import (
    Benchmark,
    Index,
    aliases_of,
    choose,
    image_rows,
    join_indexes,
    make_index,
)
from vlmt_cli.clean.index_file import read_index, write_index
from vlmt_cli.clean.index_gaps import gaps_of, train2017_of
from vlmt_cli.clean.texts import hash_parts, hash_texts
from vlmt_cli.mixtures.names import keys_of

KEYS = ["coco:1", "coco:2", "vg:1", "vg:2", "flickr30k:7", "nlvr2:dev-0-0-img0"]
OUTSIDE = ["flickr:7", "flickr:8", "url:https://a/1", "sha256:00"]
RELATION = {"coco": "crosswalk", "vg": "crosswalk", "flickr": "flickr", "url": "url", "sha256": "file"}


def index_of(images: dict[str, list[str]], links: list[tuple[str, str, str]] = [], **facts: object) -> Index:  # noqa: B006
    rows = [image_rows(name, pa.array(keys, pa.string())) for name, keys in {"": [], **images}.items()]
    return make_index(
        {name: Benchmark(name, name.partition("-")[0], **facts) for name in images},  # type: ignore[arg-type]
        pa.concat_tables(rows),
        pa.table(list(zip(*links, strict=True)) if links else [[]] * 3, schema=LINKS),
    )


@st.composite
def facts(draw: st.DrawFn) -> Index:
    images = draw(st.dictionaries(st.sampled_from(["a", "b"]), st.lists(st.sampled_from(KEYS), min_size=1), min_size=1))
    pairs = draw(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from([*KEYS[:4], *OUTSIDE]))))
    return index_of(images, [(image, alias, RELATION[alias.partition(":")[0]]) for image, alias in pairs])


@given(facts())
@settings(max_examples=50)
def test_aliases_are_all_that_links_reach(index: Index) -> None:
    links = {(row["image"], row["alias"], HOW.index(row["relation"])) for row in index.links.to_pylist()}
    links |= {(f"flickr30k:{photo}", f"flickr:{photo}", HOW.index("flickr")) for photo in (7, 8)}
    expected = set()
    for row in index.images.to_pylist():
        reached = {row["image"]: 0}
        for level in range(len(HOW)):
            before = None
            while before != len(reached):
                before = len(reached)
                for left, right, rank in links:
                    if rank <= level and (left in reached) != (right in reached):
                        reached[right if left in reached else left] = level
        expected |= {(alias, row["benchmark"], row["image"], HOW[level]) for alias, level in reached.items()}
    assert {tuple(row.values()) for row in aliases_of(index).to_pylist()} == expected


def test_an_index_is_read_as_it_was_written(tmp_path: Path) -> None:
    texts = hash_texts(pa.array(["What is it?", None, "is it red", "Is it red?"]))
    rows = image_rows("b", pa.array(["coco:2", "coco:1", "coco:2", "coco:2"]), texts)
    index = make_index({"b": Benchmark("B", "b", of=3)}, rows, index_of({}, [("vg:1", "coco:2", "crosswalk")]).links)
    write_index(tmp_path / "index.parquet", index)
    again = read_index(tmp_path / "index.parquet")
    assert (again.benchmarks, again.images, again.links) == (index.benchmarks, index.images, index.links)
    assert again.images["texts"].to_pylist() == [None, sorted({texts[0].as_py(), texts[2].as_py()})]


def test_joined_indexes_lose_no_image_and_leave_out_what_their_parts_hold() -> None:
    first = index_of({"r-test": ["coco:1", "coco:2"], "p": ["coco:9"]}, replaced_by=("r-A", "r-B"), of=2)
    second = index_of({"r-A": ["coco:1"], "p": ["coco:8"]}, [("vg:3", "coco:1", "crosswalk")], of=1)
    joined = join_indexes([first, second])
    assert joined.known == {"p": 2, "r-A": 1, "r-test": 2} and joined.benchmarks["p"].of == 2
    both = join_indexes([joined, index_of({"r-B": ["coco:2"]})])
    assert both.known == {"p": 2, "r-A": 1, "r-B": 1}
    assert "vg:3" in aliases_of(both)["alias"].to_pylist()


def test_a_list_that_joins_a_benchmark_keeps_what_is_known_of_it() -> None:
    known = make_index(
        {"b-test": Benchmark("B test", "b", "its authors", "MIT", 2, coco_split="val2014", missing=("put x there",))},
        image_rows("b-test", pa.array(["coco:1", "coco:2"])),
        LINKS.empty_table(),
    )
    other = make_index({"b-test": Benchmark("b-test", "b-test", "ids.txt", of=1)}, *known_rows("coco:3"))
    joined = join_indexes([known, other, other])
    said = joined.benchmarks["b-test"]
    assert (said.title, said.family, said.missing, joined.known) == ("B test", "b", ("put x there",), {"b-test": 3})
    assert (said.source, said.licence) == ("its authors and ids.txt", "its authors: MIT")
    official = make_index({"b-test": Benchmark("B", "b", "official files", of=4)}, *known_rows("coco:4"))
    said = join_indexes([known, other, official]).benchmarks["b-test"]
    assert (said.title, said.source, said.licence, said.missing) == ("B", "official files", "", ())


def known_rows(key: str) -> tuple[pa.Table, pa.Table]:
    return image_rows("b-test", pa.array([key])), LINKS.empty_table()


def test_benchmarks_are_named_alone_by_family_or_all_together() -> None:
    index = builtin_index()
    assert choose(index, "refcoco, pope,coco-val") == ["refcoco-test", "pope", "pope-aokvqa", "pope-gqa", "coco-val"]
    assert "coco-val" not in choose(index, None)
    with pytest.raises(UsageError, match="did you mean refcoco"):
        choose(index, "refcocoo")


HEADER = {"version": 1, "benchmarks": {"b": {"title": "B", "family": "b"}}}
ROW = {"benchmark": "b", "image": "coco:1", "alias": None, "relation": None, "texts": None}
LINK = {**ROW, "benchmark": None, "alias": "flickr:1", "relation": "flickr"}


@pytest.mark.parametrize(
    ("header", "row", "says"),
    [
        (None, ROW, "is not an index of benchmarks"),
        ({**HEADER, "version": 4}, ROW, "was made by a newer vlmt: it has version 4, and this vlmt reads up to 3"),
        ({"version": 1, "benchmarks": {"b": {"title": 3}}}, ROW, "has a damaged header"),
        ({"version": 1, "benchmarks": {"../b": {"title": "", "family": "b"}}}, ROW, "has a benchmark of the name"),
        ({"version": 1, "benchmarks": {"b": {"title": "\x1b[2J", "family": "b"}}}, ROW, "what cannot be printed"),
        ({**HEADER, "models": {"0" * 64: {"name": "m", "width": 1 << 63}}}, ROW, "numbers a picture"),
        ({**HEADER, "models": {"no": {"name": "m", "width": 2}}}, ROW, "has a model of the name 'm'"),
        (HEADER, {**ROW, "benchmark": "c"}, "has 'c', which is not a benchmark"),
        (HEADER, {**ROW, "image": "coco:../1"}, "has 'coco:../1', which is not an image"),
        (HEADER, {**LINK, "alias": "flickr:\n1"}, "which is not an alias"),
        (HEADER, {**LINK, "relation": "guess"}, "has 'guess', which is not a relation"),
        (HEADER, {**ROW, "benchmark": None, "look": b"short"}, "has a look that is not of 64 bytes"),
        (HEADER, {**ROW, "benchmark": None, "model": "0" * 64, "embedding": b"0000"}, "or not of its model"),
        (HEADER, {**ROW, "more": 1}, "has other columns than an index"),
        (HEADER, {**ROW, "texts": "x"}, "has other columns than an index"),
    ],
)
def test_a_hostile_index_is_refused_in_one_line(tmp_path: Path, header: object, row: object, says: str) -> None:
    table = pa.Table.from_pylist([row])
    if header:
        table = table.replace_schema_metadata({b"vlmt_index": json.dumps(header).encode()})
    pq.write_table(table, tmp_path / "index.parquet")
    with pytest.raises(DataError) as error:
        read_index(tmp_path / "index.parquet")
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_damaged_index_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "index.parquet"
    table = pa.Table.from_pylist([ROW]).replace_schema_metadata({b"vlmt_index": json.dumps(HEADER).encode()})
    pq.write_table(table.set_column(1, "image", pa.array([b"coco:\xff"]).view(pa.string())), path)
    with pytest.raises(DataError, match="is damaged"):
        read_index(path)
    write_index(path, index_of({"b": ["coco:1"]}))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="is damaged"):
        read_index(path)
    with pytest.raises(DataError, match="there is no such index"):
        read_index(tmp_path / "none")


def test_texts_are_alike_by_letters_and_digits_alone() -> None:
    alike = ["Is it RED?", "<image>\nis it  red", "is-it-red!", "\uff49\uff53 it red"]
    assert len(set(hash_texts(pa.array(alike)).to_pylist())) == 1
    hashes = hash_texts(pa.array(["Is it RED?", "?!", None, "x" * 3_000, "yes"])).to_pylist()
    assert hashes == [928576347633203860, None, None, None, None]
    rows, hashes = hash_parts(pa.array(["<image>\nIs it red?\nAnswer with a word.", None, "No."]))
    assert set(rows.tolist()) == {0} and 928576347633203860 in hashes


def test_what_an_index_lacks_is_said() -> None:
    index = index_of({"b": ["coco:1"]}, [("vg:1", "coco:1", "crosswalk")], of=3)
    assert gaps_of(index, "b")[0] == "1 of 3 images are known"
    assert "Flickr photos" in gaps_of(index, "b")[1] and len(gaps_of(index, "b")) == 2
    (whole,) = gaps_of(index_of({"b": [f"flickr30k:{n}" for n in range(31_783)]}, []), "b")
    assert whole.startswith("31,783 of Flickr30k's 31,783 images are in it, training images among them")
    refcocog = gaps_of(builtin_index(), "refcocog-test")
    assert refcocog[0] == "2,587 of 2,600 images are known" and "raw/refcocog" in refcocog[1]


def test_the_built_in_index_is_made_from_the_lists(real_data: Path) -> None:
    made, shipped = make_builtin_index(real_data / "lists"), builtin_index()
    assert (made.benchmarks, made.images, made.links) == (shipped.benchmarks, shipped.images, shipped.links)


def test_the_built_in_index_gives_the_published_figures(real_data: Path) -> None:
    index = builtin_index()
    assert (train2017_of(index, "coco-test"), train2017_of(index, "pope")) == (4_407, 426)
    lines = (real_data / "predictions/llava/qa90_questions.jsonl").read_text().splitlines()
    names = pa.array({json.loads(line)["image"] for line in lines})
    llava = Index(
        {"llava": Benchmark("LLaVA", "llava", coco_split="val2014")},
        image_rows("llava", keys_of(names).keys),
        LINKS.empty_table(),
    )
    assert len(names) == 30 and train2017_of(join_indexes([index, llava]), "llava") == 27
    genome = [
        (real_data / path).read_text().split()
        for path in ("ids/visual_genome_detector_train.txt", "lists/bua_val.txt", "lists/bua_test.txt")
    ]
    seen = pa.array({key for part in genome for key in part})
    aliases = aliases_of(index)
    hits = (
        aliases.filter(pa.compute.is_in(aliases["alias"], value_set=seen))
        .group_by(["benchmark"])
        .aggregate([("image", "count_distinct")])
    )
    by_benchmark = dict(zip(hits["benchmark"].to_pylist(), hits["image_count_distinct"].to_pylist(), strict=True))
    assert len(seen) == 108_077
    assert [by_benchmark[name] for name in ("coco-test", "refcoco-test", "refcocog-test")] == [2_138, 569, 1_054]


def test_the_built_in_index_is_small() -> None:
    assert BUILTIN.stat().st_size < 3_000_000
