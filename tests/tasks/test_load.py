"""Batches of every task, against the same made one example at a time from the files themselves."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from handmade import write

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.table import AMONG_CANDIDATES, DATASETS, GROUPS, TASKS, TWELVE
from vlmt_cli.features.reader import RegionReader
from vlmt_cli.features.store import FeatureStore
from vlmt_cli.tasks.load import answers_of, keys_of_images, load_examples, make_batch
from vlmt_cli.tasks.referring.head import options, score, targets
from vlmt_cli.tasks.retrieval.head import draw
from vlmt_cli.tasks.text import TextEncoder, word_tokenizer

MOST = 6
"""Detected regions of an image that are read; it may have fewer."""
PURPOSES = {"train": "train", "val": "validate"}
SIX = 6


@pytest.fixture(scope="module")
def reader(trained_world):
    features = trained_world / "features"
    return RegionReader(FeatureStore(features / "pixels"), FeatureStore(features / "pixels-candidates"), MOST)


@pytest.fixture(scope="module")
def encoder(trained_world):
    tables = sorted((trained_world / "examples").glob("*/train.parquet"))
    return TextEncoder(word_tokenizer(text for path in tables for text in pq.read_table(path)["text"].to_pylist()))


@pytest.fixture
def load(trained_world, encoder, reader):
    def load_split(task, split, purpose=None, data=trained_world, **options):
        """The examples of a split, and the rows of the file that they are made of."""
        answers = answers_of(trained_world, task)
        purpose = purpose or PURPOSES[split]
        examples = load_examples(data, task, split, encoder, reader, purpose, answers=answers, **options)
        table = pq.read_table(trained_world / "examples" / task / f"{split}.parquet").to_pylist()
        rows = [table[row] for row in examples.rows]
        assert [row["example_id"] for row in rows] == examples.ids.to_pylist()
        return examples, rows

    return load_split


def some(examples):
    return np.random.default_rng(len(examples)).integers(len(examples), size=SIX)


def iou(one, other):
    sides = [min(one[k + 2], other[k + 2]) - max(one[k], other[k]) for k in (0, 1)]
    shared = max(sides[0], 0) * max(sides[1], 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def regions_of(image, candidates, reader):
    """IMG, an image's detected regions, and given ones: features, boxes in pixels, and boxes as shares with areas."""
    found = reader.store.read(image)
    features = found.features[:MOST].astype(np.float32)
    rows = [features.mean(0), *features]
    boxes = [[0, 0, found.width, found.height], *found.boxes[:MOST].tolist()]
    for box in candidates:
        given = reader.candidates.read(image)
        best = max(range(len(given.boxes)), key=lambda k: iou(box, given.boxes[k].tolist()))
        rows.append(given.features[best].astype(np.float32))
        boxes.append(box)
    width, height = found.width, found.height
    shares = [
        [x1 / width, y1 / height, x2 / width, y2 / height, (x2 - x1) * (y2 - y1) / (width * height)]
        for x1, y1, x2, y2 in boxes
    ]
    return np.stack(rows), boxes, shares


def assert_shows(batch, place, image, candidates, reader):
    """The batch's ``place``-th image is this one, with these given regions; the rest is padding. Returns its boxes."""
    rows, boxes, shares = regions_of(image, candidates, reader)
    real = batch.region_mask_BV[place]
    assert real.tolist() == [True] * len(rows) + [False] * (len(real) - len(rows))
    np.testing.assert_allclose(batch.features_BVF[place][real], rows, atol=1e-6)
    np.testing.assert_allclose(batch.boxes_BV5[place][real], shares, atol=1e-6)
    assert batch.pixels_BV4[place][real].tolist() == boxes
    assert not batch.features_BVF[place][~real].any()
    return boxes


def assert_says(batch, place, text, task, encoder):
    """The batch's ``place``-th text is this one."""
    (ids,) = encoder.encode([text], TASKS[task].max_tokens)
    real = batch.token_mask_BT[place]
    assert batch.tokens_BT[place].tolist() == ids + [encoder.pad] * (len(real) - len(ids))
    assert real.tolist() == [True] * len(ids) + [False] * (len(real) - len(ids))


def assert_plain(batch, rows, task, encoder, reader):
    for place, row in enumerate(rows):
        assert_says(batch, place, row["text"], task, encoder)
        assert_shows(batch, place, row["images"][0], [], reader)
    assert len(batch) == len(batch.tokens_BT) == len(rows)
    lengths = batch.token_mask_BT.sum(1), batch.region_mask_BV.sum(1)
    assert batch.tokens_BT.shape[1] == lengths[0].max() and batch.features_BVF.shape[1] == lengths[1].max()


@pytest.mark.parametrize("split", PURPOSES)
@pytest.mark.parametrize("task", [*TWELVE, "flickr30k_entities"])
def test_a_split_is_what_cleaning_kept_and_has_a_label(task, split, load, trained_world):
    examples, rows = load(task, split)
    table = pq.read_table(trained_world / "examples" / task / f"{split}.parquet").to_pylist()
    keep = pq.read_table(trained_world / "clean" / "keep.parquet").to_pylist()
    kept = {one["row"] for one in keep if (one["dataset"], one["split"]) == (task, split)}
    vocabulary = set(answers_of(trained_world, task) or ())

    def is_labelled(row):
        if task in GROUPS["G1"]:
            return bool(vocabulary & set(row["answers"]))
        return task not in GROUPS["G4"] or (row["label"] is not None and row["label"] >= 0)

    assert examples.rows.tolist() == [row for row in range(len(table)) if row in kept and is_labelled(table[row])]
    assert set(keys_of_images(examples).to_pylist()) == {image for row in rows for image in row["images"]}
    lengths = [len(row["text"].split()) + 2 for row in rows]
    assert all(
        has >= min(least, TASKS[task].max_tokens) for has, least in zip(examples.lengths[:], lengths, strict=True)
    )


@pytest.mark.parametrize("task", GROUPS["G1"])
def test_questions(task, load, encoder, reader, trained_world):
    examples, rows = load(task, "train")
    which = some(examples)
    rows = [rows[one] for one in which]
    batch = make_batch(examples, which, reader, token=7)
    assert_plain(batch, rows, task, encoder, reader)
    assert batch.task_B.tolist() == [7] * SIX
    answers = answers_of(trained_world, task)
    for scores, row in zip(batch.targets["scores"], rows, strict=True):
        given = dict(zip(row["answers"], row["counts"], strict=True))
        assert scores.tolist() == pytest.approx([min(0.3 * given.get(answer, 0), 1) for answer in answers])


@pytest.fixture
def two_neighbours(trained_world, tmp_path):
    """A data folder in which an image has two neighbours, one of them of no split; and the other one of each."""
    for name in ("examples", "clean"):
        (tmp_path / name).symlink_to(trained_world / name)
    (tmp_path / "features").mkdir()
    of_task = {}
    for task in GROUPS["G2"]:
        name = f"features/hard_negatives_{task}.parquet"
        images = pq.read_table(trained_world / name)["image"].to_pylist()
        of_task[task] = dict(zip(images, [*images[1:], images[0]], strict=True))
        table = pa.table({"image": images, "neighbours": [["coco:0", one] for one in of_task[task].values()]})
        pq.write_table(table, tmp_path / name)
    return tmp_path, of_task


@pytest.mark.parametrize("task", GROUPS["G2"])
@pytest.mark.parametrize("split", PURPOSES)
def test_captions_have_three_wrong_options(task, split, load, encoder, reader, two_neighbours):
    data, alike = two_neighbours
    examples, rows = load(task, split, data=data)
    which = some(examples)
    drawn = draw(examples, which, np.random.default_rng(1)) if split == "train" else None
    batch = make_batch(examples, which, reader, drawn=drawn)
    if drawn is None:
        drawn = examples.columns["drawn"][:, which]
    texts, images = (index.view(-1, 4) for index in batch.pairs)
    for place, one in enumerate(which):
        own, (random, other, hard) = rows[one], (rows[number] for number in drawn[:, place])
        options = [(own, own), (random, own), (own, other), (hard, own)]
        for (caption, image), text, picture in zip(options, texts[place], images[place], strict=True):
            assert_says(batch, text, caption["text"], task, encoder)
            assert_shows(batch, picture, image["images"][0], [], reader)
        assert own["images"] not in (random["images"], other["images"], hard["images"])
        if split == "train":
            assert hard["images"] == [alike[task][own["images"][0]]]
    assert len(batch.tokens_BT) == 3 * SIX and len(batch.features_BVF) == 2 * SIX


def test_validation_always_has_the_same_wrong_options(load):
    first, second = (load("coco", "val")[0] for _ in range(2))
    assert (first.columns["drawn"] == second.columns["drawn"]).all()


@pytest.mark.parametrize("split", PURPOSES)
@pytest.mark.parametrize("task", ["refcoco", "refcoco+", "refcocog", "flickr30k_entities"])
def test_regions_are_right_as_far_as_they_overlap_the_right_box(task, split, load, encoder, reader):
    examples, rows = load(task, split)
    which = some(examples)
    batch = make_batch(examples, which, reader)
    for place, row in enumerate(rows[one] for one in which):
        # In training, the boxes of all annotated objects are shown, too, where a store has them.
        shown = split == "train" and task != "flickr30k_entities"
        assert_says(batch, place, row["text"], task, encoder)
        boxes = assert_shows(batch, place, row["images"][0], row["candidates"] if shown else [], reader)
        overlaps = [0.0] + [iou(box, row["box"]) for box in boxes[1:]]
        expected = [overlap if overlap >= 0.5 else 0 for overlap in overlaps]
        padding = [0.0] * (batch.features_BVF.shape[1] - len(boxes))
        assert batch.targets["ious"][place].tolist() == pytest.approx(expected + padding, abs=1e-6)
        assert not shown or max(expected) == 1
    assert batch.targets.keys() == {"ious"} and batch.task_B is None


@pytest.mark.parametrize("split", PURPOSES)
@pytest.mark.parametrize("task", AMONG_CANDIDATES)
def test_candidates_stand_after_the_detected_regions(task, split, load, encoder, reader):
    examples, rows = load(task, split)
    which = some(examples)
    batch = make_batch(examples, which, reader)
    targets = batch.targets
    for place, row in enumerate(rows[one] for one in which):
        assert_says(batch, place, row["text"], task, encoder)
        boxes = assert_shows(batch, place, row["images"][0], row["candidates"], reader)
        there, count = targets["there"][place], len(row["candidates"])
        assert there.tolist() == [True] * count + [False] * (len(there) - count)
        places = targets["rows"][place][there].tolist()
        assert [boxes[number] for number in places] == row["candidates"]
        assert targets["right"][place] == row["target"] and row["candidates"][row["target"]] == row["box"]
        overlaps = [iou(box, row["box"]) for box in row["candidates"]]
        expected = [overlap if overlap >= 0.5 else 0 for overlap in overlaps] + [0] * (len(there) - count)
        assert targets["ious"][place].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_statement_stands_with_each_of_its_two_images(load, encoder, reader):
    examples, rows = load("nlvr2", "train")
    which = some(examples)
    batch = make_batch(examples, which, reader, token=12)
    texts, images = (index.view(-1, 2) for index in batch.pairs)
    for place, row in enumerate(rows[one] for one in which):
        for text, picture, image in zip(texts[place], images[place], row["images"], strict=True):
            assert_says(batch, text, row["text"], "nlvr2", encoder)
            assert_shows(batch, picture, image, [], reader)
        assert batch.targets["labels"][place] == row["label"]
    assert len(batch) == len(batch.task_B) == SIX and len(batch.features_BVF) == 2 * SIX


def test_entailment(load, encoder, reader):
    examples, rows = load("snli_ve", "train")
    which = some(examples)
    rows = [rows[one] for one in which]
    batch = make_batch(examples, which, reader)
    assert_plain(batch, rows, "snli_ve", encoder, reader)
    assert batch.targets["labels"].tolist() == [row["label"] for row in rows]


def test_memory_and_a_multiple_change_nothing_but_padding(load, reader):
    examples, _ = load("guesswhat", "train")
    which = some(examples)
    plain = make_batch(examples, which, reader)
    memory = torch.full((plain.features_BVF.numel() * 3,), 9.0, dtype=torch.float16)
    fixed = RegionReader(reader.store, reader.candidates, MOST, fixed=True)
    other = make_batch(examples, which, fixed, memory=memory, multiple=8)
    regions, tokens = plain.features_BVF.shape[1], plain.tokens_BT.shape[1]
    assert other.tokens_BT.shape[1] % 8 == 0 and other.features_BVF.shape[1] >= 1 + MOST
    assert other.features_BVF.dtype == torch.float16 and other.features_BVF.data_ptr() == memory.data_ptr()
    other = other.to(torch.device("cpu"), torch.float32)  # where IMG is made, as on a GPU
    torch.testing.assert_close(other.features_BVF[:, :regions], plain.features_BVF, atol=1e-6, rtol=1e-6)
    assert not other.features_BVF[:, regions:].any() and not other.token_mask_BT[:, tokens:].any()
    assert torch.equal(other.tokens_BT[:, :tokens], plain.tokens_BT)
    assert torch.equal(other.targets["rows"], plain.targets["rows"])


def test_what_is_for_testing_keeps_examples_without_an_answer(load, trained_world):
    examples, rows = load("vqa", "test", "test")
    assert len(examples) == pq.read_metadata(trained_world / "examples" / "vqa" / "test.parquet").num_rows
    only = np.array([3, 1])
    some_of_them, _ = load("vqa", "test", "test", only=only)
    assert some_of_them.ids.to_pylist() == [rows[3]["example_id"], rows[1]["example_id"]]


def test_a_split_that_is_not_there_is_named(load):
    with pytest.raises(DataError, match=r"dev\.parquet: there is no such example table; run vlmt clean"):
        load("vqa", "dev", "validate")


def test_what_to_do_about_a_missing_answer_vocabulary(tmp_path):
    with pytest.raises(DataError, match=r"no answer vocabulary; put vqa/v2.* run vlmt clean .*, as vg_qa takes"):
        answers_of(tmp_path, "vg_qa")
    (tmp_path / "examples" / "vqa").mkdir(parents=True)
    (tmp_path / "examples" / "vqa" / "manifest.json").touch()
    for name in DATASETS["vqa"].files:
        with pytest.raises(DataError, match=f"the reader of vqa made no answer vocabulary; put .*vqa/{name}"):
            answers_of(tmp_path, "vg_qa")
        write(tmp_path / "raw" / "vqa", {name: "{}"})
    with pytest.raises(DataError, match=r"vocabulary; let the reader set Examples\.answers, then run vlmt clean"):
        answers_of(tmp_path, "vqa")


def test_img_is_never_the_region_that_is_meant():
    examples = SimpleNamespace(task="refcoco", columns={"box": np.array([[0, 0, 100, 100]], np.float32)})
    pixels = torch.tensor([[[0, 0, 100, 100], [0, 0, 100, 90], [0, 0, 100, 49], [0.0, 0, 0, 0]]])
    regions = SimpleNamespace(pixels_BV4=pixels, mask_BV=torch.tensor([[True, True, True, False]]))
    found = targets(examples, np.array([0]), regions)
    torch.testing.assert_close(found["ious"], torch.tensor([[0, 0.9, 0, 0]]))
    assert score(options(torch.tensor([[9.0, 2, 1, 0]]), found), found).tolist() == [
        1
    ]  # IMG's score counts for nothing
    assert score(options(torch.tensor([[9.0, 1, 2, 0]]), found), found).tolist() == [0]
