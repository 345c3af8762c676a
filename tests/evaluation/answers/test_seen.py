"""Which images training saw: by a scan's hits as by scanning; what was not looked for is in neither part."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands.running import run

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.identity import LINKS
from vlmt_cli.clean.builtin_index import builtin_index
from vlmt_cli.evaluation.answers.apart import told_apart
from vlmt_cli.evaluation.answers.balance import balanced, strata_of
from vlmt_cli.evaluation.answers.row_files import rows_of_files
from vlmt_cli.evaluation.answers.rows import Rows
from vlmt_cli.evaluation.answers.seen import seen_by_scan, seen_of


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """POPE's first 60 images and two others; a mixture with 20 of them, one by its name at VG; and its scan."""
    folder = tmp_path_factory.mktemp("seen")
    keys = builtin_index().images_of("pope").to_pylist()[:60]
    names = [f"COCO_val2014_{int(key.removeprefix('coco:')):012d}.jpg" for key in keys] + ["scan.png", "n161313.jpg"]
    records = [{"question_id": n, "image": name, "text": "Is it?", "label": "yes"} for n, name in enumerate(names)]
    (folder / "labels.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    links = dict(zip(*(builtin_index().links[end].to_pylist() for end in ("alias", "image")), strict=True))
    twin = next(number for number, key in enumerate(keys) if key in links and number >= 19)
    shown = [f"coco/train2017/{name[-16:]}" for name in names[:19]] + [f"vg/VG_100K/{links[keys[twin]][3:]}.jpg"]
    shown += ["private/1.jpg", "gqa/images/n161313.jpg"]
    mixture = [{"id": str(n), "image": name, "conversations": []} for n, name in enumerate(shown)]
    (folder / "mix.json").write_text(json.dumps(mixture))
    assert (
        run("scan", str(folder / "mix.json"), "--against", "pope", "--out", str(folder / "scan"), "--data", str(folder))
        == 0
    )
    return folder, rows_of_files([folder / "labels.jsonl"], "pope"), [*range(19), twin]


def test_a_scans_hits_and_scanning_agree(scanned):
    folder, rows, shown = scanned
    by_scan = seen_by_scan(rows, folder / "scan" / "hits.parquet", folder / "none")
    by_mixture = seen_of(rows, f"file://{folder}/mix.json", folder / "none")
    assert np.flatnonzero(by_scan.seen).tolist() == shown
    assert np.flatnonzero(by_mixture.seen).tolist() == [*shown, 61]  # gqa:n161313 is none of POPE's
    assert np.flatnonzero(~by_scan.known).tolist() == [60, 61]
    assert np.flatnonzero(~by_mixture.known).tolist() == [60]  # what has no name cannot be looked up
    assert by_scan.caveats == by_mixture.caveats
    assert "1 image of the mixture could not be compared" in by_scan.caveats[0] and not by_scan.is_proxy


def test_a_scan_that_did_not_look_for_the_images_is_refused(scanned, tmp_path):
    folder, _, _ = scanned
    other = [{"question_id": 1, "image": "n161313.jpg", "text": "Is it?", "label": "yes"}]
    (tmp_path / "rows.jsonl").write_text(json.dumps(other[0]))
    rows = rows_of_files([tmp_path / "rows.jsonl"], "pope")
    with pytest.raises(DataError, match=r"the scan did not look for the images of pope; scan with --against"):
        seen_by_scan(rows, folder / "scan", folder)
    (tmp_path / "hits.parquet").write_bytes((folder / "scan" / "hits.parquet").read_bytes())
    with pytest.raises(DataError, match=r"there is no report\.json beside it"):
        seen_by_scan(rows, tmp_path / "hits.parquet", folder)
    pq.write_table(pa.table({"dataset": ["vqa"], "image": ["coco:1"]}), tmp_path / "removed.parquet")
    with pytest.raises(
        DataError, match=r"is not hits\.parquet of a scan: it has no column benchmark and key; give --seen"
    ):
        seen_by_scan(rows, tmp_path / "removed.parquet", folder)
    with pytest.raises(DataError, match=r"is not hits\.parquet of a scan: it is not Parquet"):
        seen_by_scan(rows, tmp_path / "rows.jsonl", folder)
    with pytest.raises(UsageError, match=r"'mixx\.json' is neither a file nor a dataset"):
        seen_of(rows, "mixx.json", folder)


def test_balancing_takes_out_what_kinds_of_questions_explain():
    rng = np.random.default_rng(5)
    images = np.repeat(np.arange(400), 5)
    seen = images < 200
    yes = rng.random(2_000) < np.where(seen, 0.8, 0.3)  # yes is easy, and seen images have more of it
    scores = (rng.random(2_000) < np.where(yes, 0.9, 0.5)).astype(float)
    table = pa.table({"right": np.where(yes, "yes", "no")})
    strata, words = strata_of(Rows("pope", "pope", "", "yes or no", table, "memory"))
    assert words == "right answer"
    plain = scores[seen].mean() - scores[~seen].mean()
    made = balanced(scores, seen, images, strata, 300, 0)
    weights = np.where(yes, yes[seen].mean() / yes[~seen].mean(), (1 - yes[seen].mean()) / (1 - yes[~seen].mean()))
    assert made.value == pytest.approx(scores[seen].mean() - np.average(scores[~seen], weights=weights[~seen]))
    assert plain > 0.15 and made.low < 0 < made.high and abs(made.value) < 0.06
    assert balanced(scores[:50], seen[:50], images[:50], strata[:50], 300, 0) is None


def test_names_of_other_sources_decide_nothing():
    shown = ["vg:5", "coco:9", "gqa:n1", "flickr30k:7", "flickr30k:8", "vg:713137"]
    images = pa.array([[each] for each in shown] + [["coco:9", "gqa:n1"]])
    crosswalk = builtin_index().links
    photos = pa.table({"image": ["coco:9"], "alias": ["flickr:7"], "relation": ["flickr"]}, LINKS)

    def told(training, links=crosswalk, dataset=""):
        return np.flatnonzero(told_apart(images, pa.array(training, pa.string()), links, dataset)).tolist()

    assert told(["coco:1"]) == told(["vg:1"]) == [0, 1, 5]  # the crosswalk speaks of all of Visual Genome's images
    assert told(["vg:1"], dataset="gqa") == [0, 1, 2, 5, 6]  # and GQA's files of all of GQA's
    assert told(["coco:1"], LINKS.empty_table()) == [1] and told(["vg:1"], LINKS.empty_table()) == [0, 5]
    assert told(["flickr30k:1"]) == [3, 4] and told(["flickr30k:1"], photos) == [1, 3, 4]
    assert told(["coco:9"], photos) == [1, 3, 4]  # all of it are known as photos
    assert told(["coco:9", "coco:1"], photos) == [1, 3]  # of coco:1 that is not known, but 7 is coco:9
    assert told(["coco:1", "vg:1", "sam:1"]) == told([]) == []


def test_a_dataset_says_what_it_lacks_and_what_it_does_not_tell(scanned, tmp_path):
    _, rows, _ = scanned
    folder = tmp_path / "examples" / "vqa"
    folder.mkdir(parents=True)
    pq.write_table(rows.table.select(["images"]).slice(0, 7), folder / "train.parquet")
    saw = seen_of(rows, "vqa", tmp_path)
    assert np.flatnonzero(saw.seen).tolist() == [*range(7)] and np.flatnonzero(~saw.known).tolist() == [60, 61]
    assert "VQA v2's training set is incomplete here: v2_OpenEnded" in saw.caveats[0]
    assert "missing and it has 7 of 655,111 examples" in saw.caveats[0] and "test2015" not in saw.caveats[0]
    assert "all of them" not in saw.caveats[1]
    other = Rows("gqa", "gqa", "", "vqa", rows.table.slice(61), "memory")
    with pytest.raises(DataError, match=r"images of gqa, which are named as those of gqa, are among VQA v2's training"):
        seen_of(other, "vqa", tmp_path)


@pytest.mark.parametrize(
    ("mixture", "said"),
    [
        ([], "has no records"),
        ([{"id": 1, "conversations": []}], "has 1 record without an image"),
        ([{"id": 1, "image": "x/9.jpg", "conversations": []}], "has 1 image that no name, address or hash identifies"),
    ],
)
def test_a_mixture_without_images_does_not_tell_what_training_saw(scanned, tmp_path, mixture, said):
    (tmp_path / "mix.json").write_text(json.dumps(mixture))
    with pytest.raises(DataError, match=f"{said}.*does not tell what training saw"):
        seen_of(scanned[1], str(tmp_path / "mix.json"), tmp_path)
