"""MT-VGC from checkpoints and files: against a loop over what was predicted, and cleaning's own account."""

import csv
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from evaluation.tiny_run import make_checkpoint, make_data, make_run, table

from vlmt_cli.analysis.consistency import models as vgc_models
from vlmt_cli.analysis.consistency.concepts import load_tagger
from vlmt_cli.analysis.consistency.exports.forms import EXPORTS
from vlmt_cli.analysis.consistency.from_answers import export_questions, run_answers
from vlmt_cli.analysis.consistency.names import NamedModel, parse_models
from vlmt_cli.analysis.consistency.report import TakenWeights
from vlmt_cli.analysis.consistency.run import run_vgc
from vlmt_cli.analysis.consistency.texts import find_texts, within
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.files import write_parquet
from vlmt_cli.base.identity import links_table
from vlmt_cli.datasets.answers import normalise_answer
from vlmt_cli.datasets.tables import REFERRING, VQA
from vlmt_cli.features.store import FeatureStore
from vlmt_cli.features.store_writer import StoreWriter
from vlmt_cli.runs.checkpoint_writer import save_pretrained
from vlmt_cli.runs.lineage import Lineage, Stage

TESTS = [(task, split) for task in ("refcoco", "refcoco+") for split in ("testA", "testB")]


@pytest.fixture(scope="module")
def data(trained_world, tmp_path_factory):
    folder = make_data(trained_world, tmp_path_factory.mktemp("data") / "data")
    (folder / "images").symlink_to((trained_world / "images").resolve())
    return folder


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """Two runs that differ in their weights; none saw these images."""
    folder = tmp_path_factory.mktemp("runs")
    make_run(folder / "one", data, ["cc:1"])
    other = make_checkpoint(data, ["cc:1"])
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.mul_(-1)
    save_pretrained(folder / "other", other)
    return folder


def measured(model, data, folder, **options):
    return run_vgc(parse_models([str(model)]), data, folder, tagger="lexicon", **options)


def test_questions_are_those_that_cleaning_takes_out_for_these_test_sets(data, trained_world):
    removed = pq.read_table(trained_world / "clean" / "removed.parquet").to_pylist()
    taken_out = {
        (row["split"], row["row"], row["example_id"])
        for row in removed
        if row["dataset"] == "vqa" and {hit["test_set"] for hit in row["hits"]} & {"refcoco", "refcoco+"}
    }
    questions, expressions = (part.to_pylist() for part in vars(find_texts(data)).values())
    assert {(row["split"], row["row"], row["example_id"]) for row in questions} == taken_out
    asked = {row["images"][0] for split in ("train", "val") for row in table(data, "vqa", split)}
    said = [(*place, row["example_id"]) for place in TESTS for row in table(data, *place) if row["images"][0] in asked]
    assert [(row["task"], row["split"], row["example_id"]) for row in expressions] == said


def write_examples(data, task, split, images):
    """An example table of which only the images, and that there are answers and boxes, matter."""
    columns = {
        "example_id": [f"{split}-{row}" for row in range(len(images))],
        "images": [[image] for image in images],
        "text": [f"red dog {row}" for row in range(len(images))],
        "answers": [["yes"]] * len(images),
        "counts": [[10]] * len(images),
        "unanimous": [None] * len(images),
        "box": [[0, 0, 9, 9]] * len(images),
        "candidates": [[[0, 0, 9, 9]]] * len(images),
        "target": [0] * len(images),
        "category": ["dog"] * len(images),
    }
    schema = VQA if task == "vqa" else REFERRING
    write_parquet(
        data / "examples" / task / f"{split}.parquet",
        pa.table({name: columns[name] for name in schema.names}, schema=schema),
    )


@pytest.fixture
def handmade(tmp_path):
    """Questions and expressions of few images; vg:7 is coco:3, and flickr30k:5 is coco:4 by their Flickr photo."""
    write_examples(tmp_path, "vqa", "train", ["coco:9", "coco:1", "vg:7", "flickr30k:5", "vg:1"])
    write_examples(tmp_path, "vqa", "val", ["coco:1"])
    write_examples(tmp_path, "vqa", "test", ["coco:2"])
    for task, *images in (("refcoco", "coco:1", "coco:2"), ("refcoco+", "coco:3", "coco:4", "coco:1")):
        write_examples(tmp_path, task, "testA", images)
        write_examples(tmp_path, task, "val", ["coco:9"])
    crosswalk = links_table(pa.array(["vg:7"]), pa.array(["coco:3"]), "crosswalk")
    flickr = links_table(pa.array(["coco:4"]), pa.array(["flickr:5"]), "flickr")
    write_parquet(tmp_path / "examples" / "vg_images" / "links.parquet", pa.concat_tables([crosswalk, flickr]))
    return tmp_path


def test_an_image_is_known_under_any_of_its_names(handmade):
    texts = find_texts(handmade)
    asked, said = texts.questions.to_pylist(), texts.expressions.to_pylist()
    assert [(row["split"], row["row"], row["image"]) for row in asked] == [
        ("train", 1, "coco:1"),
        ("train", 2, "vg:7"),
        ("train", 3, "flickr30k:5"),
        ("val", 0, "coco:1"),
    ]
    assert [(row["task"], row["row"], row["image"]) for row in said] == [
        ("refcoco", 0, "coco:1"),
        ("refcoco+", 0, "coco:3"),
        ("refcoco+", 1, "coco:4"),
        ("refcoco+", 2, "coco:1"),
    ]
    pairs = {(q["image"], e["image"]) for q in asked for e in said if q["number"] == e["number"]}
    assert pairs == {("coco:1", "coco:1"), ("vg:7", "coco:3"), ("flickr30k:5", "coco:4")}
    assert texts.of("refcoco+")["row"].to_pylist() == [0, 1, 2]

    # An image goes when either of its keys does.
    part = within(texts, pa.array(["coco:1", "coco:3", "coco:4", "vg:7"]))
    assert pc.unique(part.questions["image"]).to_pylist() == ["coco:1", "vg:7"]
    assert part.expressions["image"].to_pylist() == ["coco:1", "coco:3", "coco:1"]
    with pytest.raises(DataError, match="no image with a question and an expression has features"):
        within(texts, pa.array(["coco:3", "flickr30k:5"]))


def test_no_shared_image_and_no_dataset_are_one_line(handmade):
    write_examples(handmade, "vqa", "train", ["coco:2000"])
    write_examples(handmade, "vqa", "val", ["coco:9"])
    with pytest.raises(DataError, match="no test image of refcoco and refcoco"):
        find_texts(handmade)
    (handmade / "examples" / "refcoco+" / "testA.parquet").unlink()
    with pytest.raises(DataError, match=r"there is no testA or testB of refcoco\+; put refcoco\+/refs.* then run "):
        find_texts(handmade)


def official_accuracy(answer, row):
    """VQA's own: of every nine of the annotators, a third of those who agree, one at most."""
    given = [name for name, count in zip(row["answers"], row["counts"], strict=True) for _ in range(count)]
    nines = combinations([name == normalise_answer(answer) for name in given], len(given) - 1)
    return np.mean([min(sum(nine) / 3, 1) for nine in nines])


def overlap_of(ours, theirs):
    """IoU of two boxes."""
    sides = [min(ours[i + 2], theirs[i + 2]) - max(ours[i], theirs[i]) for i in (0, 1)]
    shared = max(sides[0], 0) * max(sides[1], 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (ours, theirs)]
    return shared / (sum(areas) - shared)


def from_predictions(data, files):
    """Every question and every expression: image, text, and how right the predictions that were kept are."""
    asked, said = [], []
    for path in files:
        task, split = path.name.split("-")[:2]
        rows = table(data, task, split)
        for predicted in pq.read_table(path).to_pylist():
            row = rows[predicted["row"]]
            assert row["example_id"] == predicted["example_id"] and row["images"] == [predicted["image"]]
            if task == "vqa":
                asked.append((row["images"][0], row["text"], official_accuracy(predicted["answer"], row)))
            else:
                said.append((row["images"][0], row["text"], overlap_of(predicted["box"], row["box"]) > 0.5))
    return asked, said


def equation_5(asked, said, right, weight=len):
    lemmas = {
        text: {word.lemma for word in words}
        for texts in ({text for _, text, _ in asked + said},)
        for text, words in zip(sorted(texts), load_tagger("lexicon")(sorted(texts)), strict=True)
    }
    total = both = 0
    for image, question, accuracy in asked:
        for other, expression, located in said:
            if image == other:
                d = weight(lemmas[question] & lemmas[expression])
                total += d
                both += d * (right(accuracy) and located)
    return both / total


def test_equation_5_from_the_predictions_that_were_kept(data, runs, tmp_path):
    report = measured(runs / "one", data, tmp_path)
    found = report.models["one"].consistency
    files = sorted((tmp_path / "predictions" / "vgc").iterdir())
    assert sorted(map(str, files)) == sorted(report.models["one"].predictions)
    asked, said = from_predictions(data, files)
    assert 0 < equation_5(asked, said, lambda accuracy: accuracy >= 0.5) < 1
    for agreement, right, weight in (
        (found.weighted, lambda accuracy: accuracy >= 0.5, len),
        (found.unweighted, lambda accuracy: accuracy >= 0.5, bool),
        (found.by_right["> 0"], lambda accuracy: accuracy > 0, len),
        (found.by_right["= 1"], lambda accuracy: accuracy > 0.9999, len),
    ):
        assert agreement.both.value == pytest.approx(equation_5(asked, said, right, weight))
    assert (found.questions, found.expressions) == (len(asked), len(said))
    assert found.pairs == sum(q[0] == e[0] for q in asked for e in said)
    assert report.models["one"].questions == pytest.approx(np.mean([accuracy for *_, accuracy in asked]))
    assert report.models["one"].expressions == pytest.approx(np.mean([located for *_, located in said]))
    assert (report.paper["AT->ST"], report.paper["question-reference pairs"]) == (64.64, 111275)

    page = (tmp_path / "vgc_gallery.html").read_text()
    assert page.count("<article>") == page.count('src="data:image/jpeg') > 0
    assert page.count('class="box right" style') == page.count('class="box chosen" style') == page.count("<article>")


def as_a_kit_writes(form, rows, said, folder):
    """A kit's file of what ``said`` answers, by id, to what was exported."""
    if form == "vlmevalkit":
        path = folder / "model_vlmt_vgc_vqa_refcoco_openended.tsv"
        with (folder / "vlmt_vgc_vqa_refcoco_openended.tsv").open() as file:
            table = list(csv.DictReader(file, delimiter="\t"))
        with path.open("w") as file:
            writer = csv.DictWriter(file, [*table[0], "prediction"], delimiter="\t")
            writer.writeheader()
            writer.writerows(row | {"prediction": said[row["question_id"]]} for row in table)
        return path
    lines = []
    for number, row in enumerate(rows):
        name, answer = row["question_id"], said[row["question_id"]]
        lines.append(
            {
                "llava": {"question_id": name, "prompt": row["text"], "text": answer, "model_id": "m"},
                "lmms-eval": {"doc_id": number, "target": row["category"], "filtered_resps": [answer], "doc_hash": "74",
                              "input": row["text"], "vgc_answered": {"question_id": name, "prediction": answer}},
                "jsonl": {"question_id": name, "answer": answer},
            }[form]
        )  # fmt: skip
    path = folder / "answers.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines[::-1]))
    return path


def test_predictions_that_go_out_and_come_back_give_the_same_figures(data, runs, tmp_path):
    direct = measured(runs / "one", data, tmp_path / "direct", gallery=0)
    said = {}
    for path in direct.models["one"].predictions:
        task = Path(path).name.partition("-")[0]
        for row in pq.read_table(path).to_pylist():
            said[f"{task}:{row['example_id']}"] = row["answer"] if task == "vqa" else str(row["box"])
    found = {}
    for form in EXPORTS:
        folder = tmp_path / form
        rows = export_questions(form, folder, data).table.to_pylist()
        assert {row["question_id"] for row in rows} == set(said)
        found[form] = f"{form}={as_a_kit_writes(form, rows, said, folder)}"
    back = run_answers(list(found.values()), data, tmp_path / "back", boxes="pixels", gallery=3)
    for name in EXPORTS:
        ours, theirs = direct.models["one"], back.models[name]
        assert theirs.consistency == ours.consistency
        assert (theirs.questions, theirs.expressions) == (ours.questions, ours.expressions)
    assert (back.pairing, back.paper) == (direct.pairing, direct.paper)
    assert back.usually_seen.startswith("VQA v2's training questions are in nearly every VLM's training mixture")
    assert {each.weighted.value for each in back.differences} == {0}
    assert (tmp_path / "back" / back.side_by_side).read_text().count("<article>") == 0
    assert 0 < (tmp_path / "back" / "vgc_gallery-llava.html").read_text().count("<article>") <= 3


def test_what_was_predicted_is_kept_until_something_that_it_depends_on_changes(data, runs, tmp_path, monkeypatch):
    predict, ran = vgc_models.run.predict_examples, []

    def counted(model, examples, *arguments):
        ran.append(f"{examples.task}-{examples.split}")
        return predict(model, examples, *arguments)

    monkeypatch.setattr(vgc_models.run, "predict_examples", counted)
    seen = []
    first = measured(runs / "one", data, tmp_path, progress=lambda *state: seen.append(state))
    everything, ran[:] = sorted(ran), []
    splits = set(find_texts(data).questions["split"].to_pylist())
    assert everything == sorted([*(f"vqa-{split}" for split in splits), *("-".join(place) for place in TESTS)])
    found = first.models["one"].consistency
    assert seen[-1][1:] == (found.questions + found.expressions,) * 2

    again = measured(runs / "one", data, tmp_path, right=">0", gallery=0)
    assert not ran and again.right == "> 0" and again.models["one"].gallery is None
    assert again.models["one"].consistency.weighted == found.by_right["> 0"]

    next((tmp_path / "predictions" / "vgc").glob("refcoco-testA-*")).write_bytes(b"PAR1 torn")
    assert measured(runs / "one", data, tmp_path) == first
    assert ran == ["refcoco-testA"]
    ran.clear()
    measured(runs / "other", data, tmp_path)  # other weights
    assert sorted(ran) == everything


def test_a_model_of_a_checkpoint_a_task_and_models_side_by_side(data, runs, tmp_path):
    specs = [f"vqa={runs / 'one'}", f"refcoco={runs / 'other'}", f"refcoco+={runs / 'other'}"]
    report = run_vgc(parse_models([str(runs / "one"), *specs, f"B={runs / 'other'}"]), data, tagger="lexicon")
    one, mixed, other = report.models.values()
    assert list(report.models) == ["one", "per-task", "B"]
    assert (mixed.questions, mixed.expressions) == (one.questions, other.expressions)
    assert mixed.consistency.weighted.answered == one.consistency.weighted.answered
    assert mixed.consistency.weighted.found == other.consistency.weighted.found
    values = {name: model.consistency.weighted.both.value for name, model in report.models.items()}
    assert len(set(values.values())) == 3
    assert {(each.ours, each.theirs): each.weighted.value for each in report.differences} == {
        (ours, theirs): pytest.approx(values[ours] - values[theirs]) for theirs, ours in combinations(values, 2)
    }
    # Each checkpoint keeps its own predictions; what is of all stands beside the runs.
    assert report.folder == str(runs / "vgc") and (runs / "vgc" / "vgc.json").exists()
    assert sorted(path.name for path in (runs / "vgc").glob("*.html")) == [
        *(f"vgc_gallery-{name}.html" for name in ("B", "one", "per-task")),
        "vgc_side_by_side.html",
    ]
    assert set(mixed.predictions) <= {*one.predictions, *other.predictions}
    assert all(path.startswith(str(runs / "one" / "predictions")) for path in one.predictions)
    for folder in ("one", "other"):
        assert (runs / folder / "predictions" / "vgc").is_dir()


def test_what_models_can_be_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=1e-4").mkdir()
    (tmp_path / "ckpt.pt").touch()

    def parsed(*texts):
        return [(model.name, *model.checkpoints.values()) for model in parse_models(texts)]

    assert parsed("ckpt.pt") == [("ckpt", *["ckpt.pt"] * 3)]
    assert parsed("lr=1e-4", "AT=runs/at", "owner/hub") == [
        ("lr=1e-4", *["lr=1e-4"] * 3),
        ("AT", *["runs/at"] * 3),
        ("hub", *["owner/hub"] * 3),
    ]
    assert parsed("a/best", "b/best") == [("a/best", *["a/best"] * 3), ("b/best", *["b/best"] * 3)]
    assert parsed("ST:refcoco+=c", "vqa=x", "ST:vqa=a", "refcoco+=z", "AT=d", "ST:refcoco=b", "refcoco=y") == [
        ("ST", "a", "b", "c"),
        ("per-task", "x", "y", "z"),
        ("AT", "d", "d", "d"),
    ]
    for texts, message in (
        (["vqa=a", "refcoco=b"], r"the model of vqa, refcoco lacks refcoco\+; add --model refcoco\+=PATH"),
        (["ST:vqa=a"], r"lacks refcoco and refcoco\+; add --model ST:refcoco=PATH"),
        (["vqa=a", "vqa=b"], "two checkpoints for vqa"),
        (["runs/a", "runs/a"], "two models runs/a"),
        (["A=x", "A:vqa=y"], "two models A"),
        (["A:vqa=y", "A=x"], "two models A"),
        (["gqa=a"], "MT-VGC takes no gqa"),
        (["ST:refcocog=a"], "MT-VGC takes no refcocog"),
        (["=a"], "names no checkpoint"),
        (["AT="], "names no checkpoint"),
    ):
        with pytest.raises(UsageError, match=message):
            parse_models(texts)


def test_what_training_saw_is_said(data, tmp_path):
    shown = pc.unique(find_texts(data).expressions["image"]).to_pylist()
    make_run(tmp_path / "leaky", data, [*shown[:3], "cc:1"])
    lines = [{"kind": "start", "iteration": 0, "iterations": 300}, {"kind": "save", "iteration": 50}]
    (tmp_path / "leaky" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = measured(tmp_path / "leaky", data, tmp_path / "to", gallery=0)
    taken = {str(tmp_path / "leaky"): TakenWeights("last", 50, "iteration 50 of 300")}
    assert report.models["leaky"].weights == taken
    assert any("leaky is unfinished (iteration 50 of 300)" in note for note in report.notes)
    seen = report.models["leaky"].seen
    assert (seen.images, seen.stages, seen.unknown) == (3, ("all-tasks",), ())
    checkpoint = make_checkpoint(data, lineage=Lineage(stages=(Stage(name="pretrain"),)), images={})
    save_pretrained(tmp_path / "unknown", checkpoint)
    models = [NamedModel("both", dict.fromkeys(("vqa", "refcoco"), str(tmp_path / "leaky")))]
    models[0].checkpoints["refcoco+"] = str(tmp_path / "unknown")
    seen = run_vgc(models, data, tmp_path / "to", tagger="lexicon", gallery=0).models["both"].seen
    assert (seen.images, seen.stages, seen.unknown) == (3, ("all-tasks",), ("pretrain",))


def test_images_without_features(data, runs, tmp_path):
    shared = pc.unique(find_texts(data).expressions["image"]).to_pylist()
    whole = FeatureStore(data / "features" / "pixels")
    with StoreWriter(tmp_path / "few", whole.meta) as store:
        for image in shared[2:]:
            store.put(image, whole.read(image))
    options = {"features": str(tmp_path / "few"), "gallery": 0}
    with pytest.raises(DataError, match=r"lack features, .* or leave these examples out with --partial"):
        measured(runs / "one", data, tmp_path / "to", **options)
    report = measured(runs / "one", data, tmp_path / "to", partial=True, **options)
    assert report.models["one"].consistency.images == len(shared) - 2
    assert "left out, as their images have no features" in report.notes[0]


def test_a_checkpoint_that_cannot_do_the_tasks_is_one_line(data, tmp_path):
    make_run(tmp_path / "vqa-only", data, ["cc:1"], ("vqa",))
    with pytest.raises(DataError, match=r"vqa-only: has no referring head; name a model of vqa, refcoco, refcoco\+"):
        measured(tmp_path / "vqa-only", data, tmp_path)
    save_pretrained(tmp_path / "mute", make_checkpoint(data, labels={}))
    with pytest.raises(DataError, match="mute: does not say which answers its vqa head has"):
        measured(tmp_path / "mute", data, tmp_path)
    with pytest.raises(UsageError, match=r"there is no rule '0.7'; choose one of \">= 0.5\", \"> 0\", \"= 1\""):
        measured(tmp_path / "mute", data, tmp_path, right="0.7")
