"""Scores against the same computed one by one from the predictions, and these against the model run pair by pair."""

import json
from collections import defaultdict
from dataclasses import replace
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from commands.running import run
from evaluation.tiny_run import image_list, make_checkpoint, make_data, make_run, predictions, table

from vlmt_cli.base.errors import DataError, LeakError, UsageError
from vlmt_cli.datasets import nlvr2, snli_ve
from vlmt_cli.datasets.answers import normalise_answer
from vlmt_cli.datasets.table import TASKS, TWELVE
from vlmt_cli.evaluation.control import read_controls
from vlmt_cli.evaluation.evaluate import evaluate
from vlmt_cli.evaluation.scores import read_scores
from vlmt_cli.evaluation.setup import open_stores, token_kind
from vlmt_cli.features.store import FeatureStore
from vlmt_cli.features.store_writer import StoreWriter
from vlmt_cli.runs.checkpoint_writer import save_single_file
from vlmt_cli.runs.lineage import Extractor, Lineage, Stage
from vlmt_cli.runs.recipe import Recipe, task_token
from vlmt_cli.runs.recipe_sections import FeatureChoices
from vlmt_cli.tasks.retrieval import rules as recall
from vlmt_cli.tasks.text import TextEncoder

SPLITS = {"refcoco": ("testA", "testB"), "refcoco+": ("testA", "testB"), "gqa": ("testdev",), "vqa": ("val",)}
RESAMPLES = 100


@pytest.fixture(scope="module")
def data(trained_world, tmp_path_factory):
    return make_data(trained_world, tmp_path_factory.mktemp("data") / "data")


@pytest.fixture(scope="module")
def clean_run(data, tmp_path_factory):
    """A run whose training saw none of these images."""
    return make_run(tmp_path_factory.mktemp("runs") / "at", data, ["cc:1"])


@pytest.fixture(scope="module")
def everything(data, clean_run, tmp_path_factory):
    """All tasks of it, evaluated; with files for the servers."""
    folder = tmp_path_factory.mktemp("everything")
    lines = []
    result = evaluate(clean_run, data, folder, submission=True, resamples=RESAMPLES, say=lines.append)
    return result, lines


def quick(source, data, folder, tasks, **options):
    lines = []
    result = evaluate(str(source), data, folder, tasks=tasks, resamples=RESAMPLES, say=lines.append, **options)
    return result, lines


def both(folder, data, task, splits):
    """Predictions with their examples, of all splits; the files hold every example, in order."""
    rows = []
    for split in splits:
        ours, theirs = predictions(folder, task, split), table(data, task, split)
        assert [row["example_id"] for row in ours] == [row["example_id"] for row in theirs]
        assert [row["images"] for row in ours] == [row["images"] for row in theirs]
        rows += zip(ours, theirs, strict=True)
    return rows


def nine_of_ten(answer, example):
    said = [one for one, n in zip(example["answers"], example["counts"], strict=True) for _ in range(n)]
    sets = list(combinations(said, len(said) - 1))
    return sum(min(sum(one == normalise_answer(answer) for one in nine) / 3, 1) for nine in sets) / len(sets)


def overlap(a, b):
    shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def right(task, ours, theirs):
    """One example's score, as its benchmark defines it."""
    match TASKS[task].head:
        case "vqa":
            return nine_of_ten(ours["answer"], theirs)
        case "gqa":
            return float([ours["answer"]] == theirs["answers"])
        case "nlvr2":
            return float(ours["answer"] == nlvr2.LABELS[theirs["label"]])
        case "snli_ve":
            return float(ours["answer"] == snli_ve.LABELS[theirs["label"]])
    if task in ("visual7w", "guesswhat"):
        assert ours["box"] == theirs["candidates"][ours["choice"]]
        return float(ours["choice"] == theirs["target"])
    assert ours["iou"] == pytest.approx(overlap(ours["box"], theirs["box"]), abs=1e-5)
    return float(overlap(ours["box"], theirs["box"]) > 0.5)


@pytest.mark.parametrize("task", [task for task in TWELVE if TASKS[task].head != "retrieval"])
def test_scores_are_those_of_the_predictions(data, everything, task):
    result, _ = everything
    score = result.scores.tasks[task]
    splits = SPLITS.get(task, ("test",))
    pairs = both(result.folder, data, task, splits)
    expected = [right(task, *pair) for pair in pairs]
    assert [ours["score"] for ours, _ in pairs] == pytest.approx(expected)
    assert score.score.value == pytest.approx(np.mean(expected)) and score.score.n == len(expected)
    assert score.score.low <= score.score.value <= score.score.high
    assert score.score.groups == len({theirs["images"][0] for _, theirs in pairs})
    assert (score.split, score.metric) == ("+".join(splits), TASKS[task].metric)
    assert score.contamination.seen is None and score.contamination.unseen.value == score.score.value
    if len(splits) == 2:
        halves = [score.extra["testA"], score.extra["testB"]]
        assert sum(half.value * half.n for half in halves) / len(expected) == pytest.approx(score.score.value)


def test_predictions_tell_examples_apart(data, everything):
    # Else the scores above would be those of a constant.
    assert all(0 < score.score.value < 1 for score in everything[0].scores.tasks.values())
    for task in ("vqa", "gqa", "vg_qa", "snli_ve", "nlvr2"):
        rows = predictions(everything[0].folder, task, SPLITS.get(task, ("test",))[0])
        assert len({row["answer"] for row in rows}) > 1, task


def test_further_metrics(data, everything):
    tasks = everything[0].scores.tasks
    assert tasks["vqa"].extra["soft score"].value == pytest.approx(tasks["vqa"].score.value)  # ten annotators each
    sentences = defaultdict(list)
    for ours, _ in both(everything[0].folder, data, "nlvr2", ["test"]):
        name, _, sentence = ours["example_id"].rsplit("-", 2)
        sentences[name, sentence].append(ours["score"])
    assert tasks["nlvr2"].extra["consistency"].value == np.mean([min(scores) for scores in sentences.values()])


def test_the_file_of_scores_is_the_result(data, everything, clean_run):
    result, lines = everything
    assert read_scores(result.folder) == result.scores
    assert result.scores.tasks.keys() == set(TWELVE) and result.left_out == {}
    assert result.scores.average == pytest.approx(np.mean([one.score.value for one in result.scores.tasks.values()]))
    assert (result.scores.model, result.scores.split_hash) == (clean_run, "ab" * 32)
    assert not result.scores.leaks_allowed
    assert [line.split(":")[0] for line in lines if line.startswith("vqa")] == ["vqa val"]
    assert not any("Warning" in line for line in lines)


@pytest.fixture(scope="module")
def matrix(data):
    """Scores of every caption of COCO's test set with every image, the model run pair by pair."""
    checkpoint = make_checkpoint(data)
    reader, encoder = open_stores(FeatureChoices(), data), TextEncoder(checkpoint.tokenizer)
    captions = table(data, "coco", "test")
    images = list(dict.fromkeys(caption["images"][0] for caption in captions))
    regions = [reader.read([image]) for image in images]
    token = torch.tensor([TASKS["coco"].token])
    scores = np.zeros((len(captions), len(images)))
    with torch.inference_mode():
        for row, caption in enumerate(captions):
            ids = torch.tensor(encoder.encode([caption["text"]], TASKS["coco"].max_tokens))
            for column, one in enumerate(regions):
                inputs = (ids, ids > -1, one.features_BVF, one.boxes_BV5, one.mask_BV, token)
                scores[row, column] = checkpoint.model("retrieval", *inputs)[0, 0]
    return scores, [images.index(caption["images"][0]) for caption in captions], images


def naive_ranks(scores, own, images):
    """For each caption its image's rank, and for each image its best caption's, among some images."""
    captions = [caption for caption in range(len(own)) if own[caption] in images]
    image_ranks = [sum(scores[c, i] > scores[c, own[c]] for i in images) + 1 for c in captions]
    caption_ranks = []
    for i in images:
        best = max(scores[c, i] for c in captions if own[c] == i)
        caption_ranks.append(sum(scores[c, i] > best for c in captions) + 1)
    return image_ranks, caption_ranks


def shares(ranks, k):
    return sum(rank <= k for rank in ranks) / len(ranks)


def test_recall_is_that_of_all_pairs(data, everything, matrix):
    scores, own, images = matrix
    image_ranks, caption_ranks = naive_ranks(scores, own, range(len(images)))
    assert len(set(image_ranks)) > 3
    rows, result = predictions(everything[0].folder, "coco", "test"), everything[0].scores.tasks["coco"]
    assert [row["rank"] for row in rows] == image_ranks
    assert [row["caption_rank"] for row in rows] == [caption_ranks[image] for image in own]
    best = [[images[place] for place in np.argsort(-line)[:10]] for line in scores]
    assert [row["best"] for row in rows] == best
    assert result.score.value == pytest.approx(shares(image_ranks, 1))
    assert (result.score.n, result.score.groups) == (len(own), len(images))
    assert result.extra["Recall@5"].value == pytest.approx(shares(image_ranks, 5))
    assert result.extra["median rank"] == np.median(image_ranks)
    for k in (1, 5, 10):
        assert result.extra[f"caption Recall@{k}"].value == pytest.approx(shares(caption_ranks, k))
    assert result.extra["caption Recall@1"].n == len(images)


def test_the_paper_has_the_first_fold_of_coco(data, clean_run, matrix, tmp_path, monkeypatch):
    scores, own, images = matrix
    monkeypatch.setattr(recall, "FOLDED", len(images))
    monkeypatch.setattr(recall, "FOLD", len(images) // 2)
    folds = [range(len(images) // 2), range(len(images) // 2, len(images))]
    folds = [naive_ranks(scores, own, fold) for fold in folds]
    whole, _ = naive_ranks(scores, own, range(len(images)))
    result = quick(clean_run, data, tmp_path / "5k", "coco")[0].scores.tasks["coco"]
    assert result.split == "test 1k"
    assert (result.score.value, result.score.n) == (pytest.approx(shares(folds[0][0], 1)), len(folds[0][0]))
    assert result.extra["caption Recall@5"].value == pytest.approx(shares(folds[0][1], 5))
    assert result.extra["5k Recall@1"].value == pytest.approx(shares(whole, 1))
    mean = np.mean([shares(image_ranks, 1) for image_ranks, _ in folds])
    assert result.extra["Recall@1 of all folds"].value == pytest.approx(mean)
    first = quick(clean_run, data, tmp_path / "1k", "coco", only_1k=True)[0].scores.tasks["coco"]
    assert (first.split, first.score) == (result.split, result.score)
    assert first.extra["Recall@10"] == result.extra["Recall@10"] and "5k Recall@1" not in first.extra
    assert len(predictions(tmp_path / "1k", "coco", "test")) == len(folds[0][0])


def test_neither_batches_nor_the_form_of_the_checkpoint_matter(data, everything, tmp_path):
    save_single_file(tmp_path / "at.pt", make_checkpoint(data, ["cc:1"]))
    result, _ = quick(tmp_path / "at.pt", data, None, "vqa,guesswhat,coco", batch_size=3)
    assert result.folder == tmp_path / "at-evaluation"
    for task, score in result.scores.tasks.items():
        assert score == everything[0].scores.tasks[task]


def test_servers_get_every_test_example(data, everything):
    folder = everything[0].folder / "submissions"
    assert {path.name for path in everything[0].submissions} == {path.name for path in folder.iterdir()}
    answers = json.loads((folder / "vqa-test.json").read_text())
    ours = predictions(everything[0].folder, "vqa", "test")
    assert [(str(one["question_id"]), one["answer"]) for one in answers] == [
        (row["example_id"], row["answer"]) for row in ours
    ]
    assert [row["example_id"] for row in ours] == [row["example_id"] for row in table(data, "vqa", "test")]
    assert all(row["score"] is None for row in ours)  # the answers are secret
    gqa = json.loads((folder / "gqa-testdev.json").read_text())
    assert [one["questionId"] for one in gqa] == [row["example_id"] for row in table(data, "gqa", "testdev")]
    lines = (folder / "nlvr2-test.csv").read_text().splitlines()
    assert lines == [f"{row['example_id']},{row['answer']}" for row in predictions(folder.parent, "nlvr2", "test")]
    pairs = [json.loads(line) for line in (folder / "snli_ve-test.jsonl").read_text().splitlines()]
    assert [one["label"] for one in pairs] == [row["answer"] for row in predictions(folder.parent, "snli_ve", "test")]


@pytest.fixture
def own_data(data, tmp_path):
    """The same data, to change."""
    return make_data(data, tmp_path / "data")


def test_secret_answers_are_replaced_by_val(own_data, clean_run, tmp_path):
    folder = own_data / "examples"
    testdev = pq.read_table(folder / "gqa" / "testdev.parquet")
    nothing = [[]] * len(testdev)
    secret = testdev.set_column(3, testdev.schema.field("answers"), pa.array(nothing, pa.list_(pa.string())))
    secret = secret.set_column(4, testdev.schema.field("counts"), pa.array(nothing, pa.list_(pa.int8())))
    pq.write_table(secret, folder / "gqa" / "test.parquet")
    result, _ = quick(clean_run, own_data, tmp_path / "a", "gqa", submission=True)
    assert [result.scores.tasks["gqa"].split, *(path.name for path in result.submissions)] == [
        "testdev", "gqa-test.json"
    ]  # fmt: skip
    result, _ = quick(clean_run, own_data, tmp_path / "b", "gqa", split="test")
    assert (result.scores.tasks["gqa"].split, result.choices[0].secret) == ("val", "test")
    (folder / "vqa" / "test.parquet").unlink()
    result, _ = quick(clean_run, own_data, tmp_path / "c", "vqa")
    assert (result.scores.tasks["vqa"].split, result.choices[0].secret) == ("val", "test")


def test_labels_may_stand_in_another_order_and_be_unknown(own_data, tmp_path):
    checkpoint = make_checkpoint(own_data, ["cc:1"])
    turned = replace(checkpoint, labels={**checkpoint.labels, "snli_ve": list(reversed(snli_ve.LABELS))})
    save_single_file(tmp_path / "turned.pt", turned)
    path = own_data / "examples" / "snli_ve" / "test.parquet"
    pairs = pq.read_table(path)
    labels = pairs["label"].to_pylist()
    labels[3] = -1
    pq.write_table(pairs.set_column(3, pairs.schema.field("label"), pa.array(labels, pa.int8())), path)
    result, _ = quick(tmp_path / "turned.pt", own_data, tmp_path, "snli_ve")
    rows = both(tmp_path, own_data, "snli_ve", ["test"])
    assert rows[3][0]["score"] is None and rows[3][0]["answer"] in snli_ve.LABELS
    expected = [right("snli_ve", *row) for row in rows if row[1]["label"] >= 0]
    assert result.scores.tasks["snli_ve"].score.value == pytest.approx(np.mean(expected))
    assert result.scores.tasks["snli_ve"].score.n == len(rows) - 1


def names_of(data, key):
    """All names that links give an image, over any number of steps."""
    joined = defaultdict(set)
    for path in (data / "examples").glob("*/links.parquet"):
        for row in pq.read_table(path).to_pylist():
            joined[row["image"]].add(row["alias"])
            joined[row["alias"]].add(row["image"])
    found, ahead = {key}, [key]
    while ahead:
        new = joined[ahead.pop()] - found
        found |= new
        ahead += new
    return found


@pytest.fixture(scope="module")
def leak(data):
    """Those of GuessWhat's test images that have another name; this one, theirs, and how many images there are."""
    images = sorted({row["images"][0] for row in table(data, "guesswhat", "test")})
    others = {image: [name for name in names_of(data, image) if name.startswith("vg:")] for image in images}
    aliases = {image: names[0] for image, names in others.items() if names}
    assert 0 < len(aliases) < len(images)
    return list(aliases.values()), set(aliases), len(images)


def test_test_images_that_training_saw_are_refused(data, leak, tmp_path):
    source = make_run(tmp_path / "leaky", data, leak[0])
    with pytest.raises(LeakError) as error:
        evaluate(source, data, tmp_path / "out", tasks="guesswhat")
    line = f"{len(leak[1])} of {leak[2]} images of guesswhat test (stage all-tasks)"
    assert line in str(error.value) and "--allow-leak" in str(error.value) and "\n" not in str(error.value)
    assert error.value.exit_code == 4 and not (tmp_path / "out").exists()


def test_allowed_leaks_are_marked_and_measured(data, leak, tmp_path):
    source = make_run(tmp_path / "leaky", data, leak[0])
    result, lines = quick(source, data, tmp_path / "out", "guesswhat", allow_leak=True)
    assert result.scores.leaks_allowed and any(line.startswith("Warning: training saw") for line in lines)
    score = result.scores.tasks["guesswhat"]
    rows = predictions(tmp_path / "out", "guesswhat", "test")
    hit = [row["images"][0] in leak[1] for row in rows]
    seen, unseen = ([row["score"] for row, one in zip(rows, hit, strict=True) if one == part] for part in (True, False))
    assert (score.contamination.seen.value, score.contamination.seen.n) == (pytest.approx(np.mean(seen)), len(seen))
    assert score.contamination.unseen.value == pytest.approx(np.mean(unseen))
    assert score.contamination.difference.value == pytest.approx(np.mean(seen) - np.mean(unseen))
    assert quick(source, data, tmp_path / "out", "guesswhat", contrasted=True)[0].scores == result.scores


def test_an_earlier_stage_and_a_list_in_text_count_too(data, leak, tmp_path):
    checkpoint = make_checkpoint(data, ["cc:1"])
    first = Stage(name="group-task", images="images-0.txt")
    lineage = checkpoint.lineage.model_copy(update={"stages": (first, *checkpoint.lineage.stages)})
    text = "# seen\n" + "\n".join(leak[0])
    images = {**checkpoint.images, "images-0.txt": text.encode()}
    save_single_file(tmp_path / "two.pt", replace(checkpoint, lineage=lineage, images=images))
    with pytest.raises(LeakError, match=r"guesswhat test \(stage group-task\)"):
        evaluate(str(tmp_path / "two.pt"), data, tasks="guesswhat")
    for damaged, message in ((b"PAR1 and nothing", "is damaged"), (b"coco:1\nnonsense\n", "images-0.txt:2")):
        broken = replace(checkpoint, lineage=lineage, images={**images, "images-0.txt": damaged})
        save_single_file(tmp_path / "broken.pt", broken)
        with pytest.raises(DataError, match=message):
            evaluate(str(tmp_path / "broken.pt"), data, tasks="guesswhat")


def test_validation_images_are_marked_not_refused(data, tmp_path):
    images = {row["images"][0] for row in table(data, "vqa", "val")}
    source = make_run(tmp_path / "run", data, sorted(images))
    result, lines = quick(source, data, None, "vqa")
    assert result.folder == tmp_path / "run"
    assert result.scores.tasks["vqa"].contamination.unseen is None and not result.scores.leaks_allowed
    assert any(f"{len(images)} of {len(images)} images of vqa val" in line for line in lines)


def test_unknown_training_images_are_said(data, tmp_path):
    released = make_run(tmp_path / "released", data, lineage=Lineage(source="multi_task_model.bin"), images={})
    result, lines = quick(released, data, None, "guesswhat")
    assert any(line.startswith("Warning: the training images of multi_task_model.bin are unknown") for line in lines)
    score = result.scores.tasks["guesswhat"]
    assert (score.contamination, score.unknown_stages) == (None, ("multi_task_model.bin",))
    with pytest.raises(UsageError, match=r"multi_task_model\.bin are unknown, so that none can be told"):
        evaluate(released, data, tasks="guesswhat", contrasted=True)
    stages = (Stage(name="pretrain"), Stage(name="all-tasks", images="images-1.parquet"))
    checkpoint = make_checkpoint(data, ["cc:1"])
    further = replace(checkpoint, lineage=checkpoint.lineage.model_copy(update={"stages": stages}))
    save_single_file(tmp_path / "further.pt", further)
    score = quick(tmp_path / "further.pt", data, None, "guesswhat")[0].scores.tasks["guesswhat"]
    assert score.unknown_stages == ("pretrain",) and score.contamination.seen is None


def test_a_run_is_scored_on_what_it_was_trained_on(data, tmp_path):
    source = make_run(tmp_path / "st", data, ["cc:1"], ("vqa", "snli_ve"))
    rows = ("table2 ST clean", "table2 ST full")
    recipe = Recipe(tasks=("snli_ve",), model={"task_token": "none"}, reproduces=rows)
    (tmp_path / "st" / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    result, _ = quick(source, data, None, None)
    assert result.scores.tasks.keys() == {"snli_ve"} and result.paper == "ST clean"
    assert result.left_out == {}  # nobody asked for the others
    without = predictions(tmp_path / "st", "snli_ve", "test")
    (tmp_path / "st" / "recipe.yaml").unlink()
    result, _ = quick(source, data, None, "all")
    assert result.scores.tasks.keys() == {"vqa", "vg_qa", "snli_ve"} and result.paper is None
    assert result.left_out["coco"] == "the model has no retrieval head"
    assert predictions(tmp_path / "st", "snli_ve", "test") == without  # the same model, recipe or not
    with pytest.raises(DataError, match="coco: the model has no retrieval head"):
        evaluate(source, data, tasks="coco,snli_ve")


def test_an_unfinished_run_is_scored_and_named_so(data, tmp_path, capsys):
    folder = make_run(tmp_path / "begun", data, ["cc:1"])
    start = {"kind": "start", "iteration": 0, "iterations": 3000}
    lines = [start, {"kind": "save", "iteration": 50}]
    (tmp_path / "begun" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run("evaluate", "--model", folder, "--data", data, "--tasks", "snli_ve") == 0
    out, err = capsys.readouterr()
    assert "The run is unfinished (iteration 50 of 3,000): these are scores of its iteration 50." in out
    assert f"resume it with vlmt train --resume --run {folder} --data {data}" in err
    trained = {"iteration": 50, "saved": 50, "planned": 3000, "finished": False}
    assert read_scores(tmp_path / "begun").trained.model_dump() == trained
    assert "unfinished (iteration 50 of 3,000)" in (tmp_path / "begun" / "README.md").read_text()
    with (tmp_path / "begun" / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "save", "iteration": 70}) + "\n")
    with pytest.raises(DataError, match=r"has scores of iteration 50, and its .* now those of iteration 70"):
        read_controls(folder, data, {}, "best", print)


def test_task_tokens_are_those_of_training(data):
    checkpoint = make_checkpoint(data)
    assert token_kind(checkpoint) == "dataset"
    checkpoint.model.config = checkpoint.config.model_copy(update={"task_token": "group"})
    assert token_kind(checkpoint) == "group"
    assert [task_token(task, "group") for task in ("gqa", "coco", "guesswhat", "snli_ve")] == [1, 7, 4, 12]
    trunk = checkpoint.config.trunk.model_copy(update={"task_tokens": 0})
    checkpoint.model.config = checkpoint.config.model_copy(update={"trunk": trunk})
    assert token_kind(checkpoint) == "none"


@pytest.fixture
def few_features(own_data, data):
    """Data whose store lacks one of SNLI-VE's test images."""
    lacking = table(own_data, "snli_ve", "test")[0]["images"][0]
    (own_data / "features").unlink()
    whole = FeatureStore(data / "features" / "pixels")
    with StoreWriter(own_data / "features" / "pixels", whole.meta) as writer:
        for key in {row["images"][0] for row in table(own_data, "snli_ve", "test")} - {lacking}:
            writer.put(key, whole.read(key))
        writer.finish()
    return own_data, lacking


def test_images_without_features(few_features, clean_run, tmp_path):
    data, lacking = few_features
    with pytest.raises(DataError, match=f"lack features, the first of them of {lacking}"):
        evaluate(clean_run, data, tmp_path, tasks="snli_ve")
    result, lines = quick(clean_run, data, tmp_path, "snli_ve", partial=True)
    left = [row for row in table(data, "snli_ve", "test") if row["images"] != [lacking]]
    assert result.scores.tasks["snli_ve"].score.n == len(left) == len(predictions(tmp_path, "snli_ve", "test"))
    assert any("examples have no features, left out" in line for line in lines)
    with pytest.raises(DataError, match="a server takes all"):
        evaluate(clean_run, data, tmp_path, tasks="snli_ve", partial=True, submission=True)
    result, _ = quick(clean_run, data, tmp_path, "G1,G3,G4", partial=True)
    assert result.scores.tasks.keys() == {"snli_ve"}
    assert result.left_out["gqa"] == "the store has no image of gqa testdev"
    assert result.left_out["visual7w"] == "there is no store of its candidates' features"


@pytest.mark.parametrize(
    ("changes", "options", "error", "message"),
    [
        ({"tokenizer": None}, {}, UsageError, "has no tokenizer; give one to vlmt convert"),
        ({"lineage": Lineage(extractor=Extractor(name="x152", hash="77-1"))}, {}, DataError, "features of x152"),
        ({"labels": {}}, {"tasks": "gqa"}, DataError, "does not say which answers its gqa head has"),
        ({"heads": ()}, {}, UsageError, "has no heads for tasks"),
        ({}, {"tasks": "vqqa"}, UsageError, "there is no task 'vqqa'; did you mean vqa"),
        ({}, {"tasks": ","}, UsageError, "names none"),
        ({}, {"tasks": "refcoco", "split": "testC"}, DataError, "no split testC; it has testA, testB, train, val"),
        ({}, {"tasks": "G4", "split": "testC"}, DataError, "no task can be scored .nlvr2, snli_ve: there is no split"),
        ({}, {"tasks": "flickr30k_entities", "features": "nothing"}, DataError, "there is no feature store"),
        ({}, {"tasks": "coco", "submission": True}, UsageError, "none of these tasks has a submission file"),
    ],
)
def test_what_cannot_be_scored_is_one_line(data, tmp_path, changes, options, error, message):
    if "lineage" in changes:
        changes = {**changes, "images": {}}
    source = make_run(tmp_path / "run", data, ["cc:1"], **changes)
    before = sorted((tmp_path / "run").iterdir())
    with pytest.raises(error, match=message) as caught:
        evaluate(source, data, **options)
    assert "\n" not in str(caught.value) and sorted((tmp_path / "run").iterdir()) == before


def test_damaged_examples_are_an_error_even_where_no_task_is_named(own_data, clean_run, tmp_path):
    (own_data / "examples" / "coco" / "test.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"coco/test\.parquet: is damaged"):
        evaluate(clean_run, own_data, tmp_path)
    assert image_list(["coco:1"]).startswith(b"PAR1")
