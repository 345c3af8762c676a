"""``vlmt evaluate --predictions`` on the synthetic world: another model's answers, and what it was trained on."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def examples(world, task, split):
    return pq.read_table(world / "examples" / task / f"{split}.parquet").to_pylist()


@pytest.fixture(scope="module")
def files(world, tmp_path_factory):
    """Boxes of two models for RefCOCO's testA, one right in two of three, one in one of three; and a mixture."""
    folder = tmp_path_factory.mktemp("predictions")
    rows = examples(world, "refcoco", "testA")
    for name, least in (("better", 1), ("worse", 2)):
        boxes = [row["box"] if number % 3 >= least else [0, 0, 1, 1] for number, row in enumerate(rows)]
        records = [
            {"sent_id": int(row["example_id"]), "sent": row["text"], "box": box}
            for row, box in zip(rows, boxes, strict=True)
        ]
        (folder / f"{name}.json").write_text(json.dumps(records))
    images = sorted({row["images"][0] for row in rows})
    shown = [image.removeprefix("coco:") for image in images[: len(images) // 2]]
    mixture = [{"id": name, "image": f"coco/train2017/{int(name):012d}.jpg", "conversations": []} for name in shown]
    (folder / "mix.json").write_text(json.dumps(mixture))
    return folder, rows, images, len(shown)


def test_two_files_are_scored_and_compared(vlmt, world, files, tmp_path):
    folder, rows, _, _ = files
    given = ["--predictions", folder / "better.json", "--predictions", folder / "worse.json"]
    more = ["--benchmark", "refcoco:testA", "--boxes", "pixels", "--data", world, "--to", tmp_path]
    code, out, err = vlmt("evaluate", *given, *more)
    assert code == 0, err
    assert "more than better" in out and f"{len(rows)} of {len(rows)} predictions joined with refcoco:testA" in out
    code, out, _ = vlmt("evaluate", *given, *more, "--json")
    better, worse = json.loads(out)
    right = [sum(number % 3 >= least for number in range(len(rows))) / len(rows) for least in (1, 2)]
    assert [each["task"]["score"]["value"] for each in (better, worse)] == pytest.approx(right)
    assert worse["against_first"]["value"] == pytest.approx(right[1] - right[0])
    page = (tmp_path / "scores.html").read_text()
    assert "<td>more than better</td>" in page and "<script" not in page and "predictions joined with" in page
    assert json.loads((tmp_path / "scores.json").read_text())[0]["join"]["joined"] == len(rows)
    assert pq.read_table(tmp_path / "predictions" / "1-better.parquet")["score"].to_pylist().count(1) == right[0] * len(
        rows
    )


def test_seen_and_unseen_images_beside_a_control(vlmt, world, files):
    folder, _, images, shown = files
    given = [
        "--predictions",
        folder / "better.json",
        "--benchmark",
        "refcoco:testA",
        "--boxes",
        "pixels",
        "--data",
        world,
    ]
    code, out, err = vlmt("evaluate", *given, "--trained-on", folder / "mix.json", "--control", folder / "worse.json")
    assert code == 0, err
    assert f"By a scan of mix.json: images seen {shown}, not seen {len(images) - shown}." in out
    assert "Too few seen images" in out and "difference in differences" in out and "worse.json" in out


def test_the_scans_page_gains_the_scores_on_what_it_found(vlmt, world, files, tmp_path):
    folder, shown = files[0], files[3]
    given = ["--benchmark", "refcoco:testA", "--boxes", "pixels", "--data", world, "--seen", tmp_path / "scan"]
    assert vlmt("scan", folder / "mix.json", "--data", world, "--out", tmp_path / "scan")[0] == 0
    for name in ("worse", "better", "better"):
        code, _, err = vlmt("evaluate", "--predictions", folder / f"{name}.json", *given)
        assert code == 0 and "leaks.html: the scores on seen and unseen images" in err
    page = (tmp_path / "scan" / "leaks.html").read_text()
    assert page.count("Scores on seen and unseen images: refcoco:testA") == 2  # the title, and the table's name
    assert "<td>better</td>" in page and "<td>worse</td>" not in page and "<td>seen less unseen</td>" in page
    assert f"By a scan of mix.json: images seen {shown}, not seen" in page


@pytest.mark.parametrize(("task", "split", "form"), [("vqa", "val", "vqa"), ("nlvr2", "test", "nlvr2")])
def test_our_own_submissions_score_what_is_right_as_right(vlmt, world, tmp_path, task, split, form):
    from vlmt_cli.evaluation.submission import write_submission

    rows = [row for row in examples(world, task, split) if row.get("answers") or row.get("label", -1) >= 0]
    right = [
        row["unanimous"] or row["answers"][0] if task == "vqa" else ["False", "True"][row["label"]] for row in rows
    ]
    path = tmp_path / f"submission.{'json' if task == 'vqa' else 'csv'}"
    write_submission(task, path, pa.array([row["example_id"] for row in rows]), pa.array(right))
    given = ["--predictions", path, "--benchmark", f"{task}:{split}", "--data", world, "--json"]
    code, out, err = vlmt("evaluate", *given, "--boxes", "pixels")
    assert code == 2 and f"--boxes says what boxes are, and {task}:{split} asks for none; leave it out" in err
    code, out, err = vlmt("evaluate", *given)
    assert code == 0, err
    [report] = json.loads(out)
    assert (report["form"], report["join"]["joined"], report["join"]["missing"]) == (form, len(rows), 0)
    assert report["task"]["score"]["value"] > (0.8 if task == "vqa" else 0.999)


def test_a_file_of_another_split_is_named_with_the_option_to_give(vlmt, world, files):
    folder, _, _, _ = files
    given = ["--predictions", folder / "better.json", "--benchmark", "refcoco:testB", "--data", world]
    code, _, err = vlmt("evaluate", *given)
    assert (
        code == 3
        and "its ids are sent_ids of refcoco:testA, not of refcoco:testB; give --benchmark refcoco:testA" in err
    )


def test_official_sets_and_what_is_held_out_of_them(vlmt, world, tmp_path):
    questions = json.loads((world / "raw" / "vqa" / "v2_OpenEnded_mscoco_val2014_questions.json").read_text())[
        "questions"
    ]
    records = [{"question_id": each["question_id"], "answer": "yes"} for each in questions]
    (tmp_path / "results.json").write_text(json.dumps(records))
    given = ["--predictions", tmp_path / "results.json", "--data", world, "--benchmark"]
    code, out, err = vlmt("evaluate", *given, "vqa:val2014")
    assert (
        code == 0 and f"{len(records)} of {len(records)} predictions joined with vqa:val2014 by question id" in out
    ), err
    held_out = examples(world, "vqa", "val")
    code, out, err = vlmt("evaluate", *given, "vqa")
    assert code == 0 and f"{len(held_out)} of {len(records)} predictions joined with vqa:val by question id" in out, err
    assert "vqa:val is the part of the official set that vlmt clean holds out" in out
    (tmp_path / "results.json").write_text(json.dumps([{"question_id": 5, "answer": "yes"}]))
    code, _, err = vlmt("evaluate", *given, "vqa:val")
    assert code == 3 and "give --benchmark vqa:val2014" in err


def test_a_log_that_says_what_is_right_needs_no_example(vlmt, world, tmp_path):
    sample = {
        "doc_id": 0,
        "target": "[0.1, 0.1, 0.5, 0.5]",
        "filtered_resps": "[0.1, 0.1, 0.5, 0.5]",
        "input": "Find: x",
    }
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps({**sample, "doc_id": n}) + "\n" for n in range(3)))
    given = ["--predictions", tmp_path / "samples.jsonl", "--benchmark", "refcoco:testA", "--data", world]
    code, out, err = vlmt("evaluate", *given)
    assert code == 0 and "samples.jsonl itself." in out and "100.00" in out, err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--predictions", "x.json"], "give --benchmark, such as refcoco:testA or pope"),
        (
            ["--predictions", "x.json", "--benchmark", "pope", "--model", "run"],
            "--model does not go with --predictions",
        ),
        (["--predictions", "x.json", "--benchmark", "pope", "--batch-size", "8"], "--batch-size does not go with"),
        (["--predictions", "x.json", "--benchmark", "pope", "--device", "cpu"], "--device does not go with"),
        (["--predictions", "x.npy", "--benchmark", "coco:test", "--form", "llava"], "has no use for --form"),
        (["--predictions", "x.json", "--benchmark", "pope", "--control", "y.json"], "--control goes with --seen or"),
        (["--predictions", "x.json", "--benchmark", "pope", "--boxes", "percent"], "there is no convention 'percent'"),
        (["--benchmark", "pope"], "--benchmark goes with --predictions"),
        ([], "there is nothing to score"),
    ],
)
def test_what_does_not_go_together_is_refused(vlmt, given, said):
    code, _, err = vlmt("evaluate", *given)
    assert code == 2 and said in err and err.count("\n") == 1, err


RIGHT = {
    "vqa": ("val", lambda row: row["unanimous"] or row["answers"][0]),
    "vg_qa": ("test", lambda row: row["answers"][0]),
    "gqa": ("testdev", lambda row: row["answers"][0]),
    "refcoco": ("testB", lambda row: row["box"]),
    "refcoco+": ("testA", lambda row: row["box"]),
    "refcocog": ("test", lambda row: row["box"]),
    "visual7w": ("test", lambda row: row["target"]),
    "guesswhat": ("test", lambda row: row["target"]),
    "nlvr2": ("test", lambda row: ["False", "True"][row["label"]]),
    "snli_ve": ("test", lambda row: ["contradiction", "neutral", "entailment"][row["label"]]),
}
WRONG = {"box": [0.0, 0.0, 1.0, 1.0], "choice": 1_000, "answer": "none of these"}


@pytest.mark.parametrize("task", RIGHT)
def test_every_third_row_of_each_task_is_right(vlmt, world, tmp_path, task):
    split, right = RIGHT[task]
    rows = [
        row for row in examples(world, task, split) if row.get("answers") or row.get("box") or row.get("label", -1) >= 0
    ]
    said = [right(row) for row in rows]
    column = "box" if isinstance(said[0], list) else "choice" if isinstance(said[0], int) else "answer"
    said = [answer if number % 3 == 0 else WRONG[column] for number, answer in enumerate(said)]
    shown = {"example_id": [row["example_id"] for row in rows], "images": [row["images"] for row in rows], column: said}
    pq.write_table(pa.table(shown), tmp_path / "predictions.parquet")
    given = ["--predictions", tmp_path / "predictions.parquet", "--benchmark", f"{task}:{split}", "--data", world]
    code, out, err = vlmt("evaluate", *given, "--json")
    assert code == 0, err
    [report] = json.loads(out)
    by = "sent_id" if task.startswith("refcoco") else "question id"
    assert (report["form"], report["join"]["by"], report["join"]["joined"]) == ("vlmt", by, len(rows))
    expected = sum(number % 3 == 0 for number in range(len(rows))) / len(rows)
    least = 0.8 * expected if task == "vqa" else expected - 1e-6  # its annotators differ
    assert least <= report["task"]["score"]["value"] <= expected + 1e-6


def test_boxes_in_thousandths_take_the_images_sizes_from_the_official_files(vlmt, world, tmp_path):
    rows = examples(world, "refcoco", "testA")
    instances = json.loads((world / "raw" / "refcoco" / "instances.json").read_text())
    sizes = {f"coco:{image['id']}": (image["width"], image["height"]) for image in instances["images"]}
    records = []
    for row in rows:
        sides = sizes[row["images"][0]] * 2
        box = [round(1000 * side / whole) for side, whole in zip(row["box"], sides, strict=True)]
        records.append(
            {"question_id": row["example_id"], "prompt": f"Where is {row['text']}?", "text": f"It is at [{box}]."}
        )
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    given = ["--predictions", tmp_path / "answers.jsonl", "--benchmark", "refcoco:testA", "--data", world]
    code, out, err = vlmt("evaluate", *given, "--boxes", "0-1000", "--json")
    assert code == 0, err
    [report] = json.loads(out)
    assert report["task"]["score"]["value"] == 1 and report["join"]["checked"] == "question"
    assert report["reading"] == ["Boxes are read as 0-1000, xyxy; 0 boxes contradict it."]


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_retrieval_from_a_matrix(vlmt, world, tmp_path, suffix):
    rows = examples(world, "flickr30k", "test")
    images = list(dict.fromkeys(row["images"][0] for row in rows))
    own = np.array([images.index(row["images"][0]) for row in rows])
    scores = np.zeros((len(rows), len(images)), np.float32)
    scores[np.arange(len(rows)), own] = np.where(np.arange(len(rows)) % 4 == 0, -1, 1)  # every fourth image is the last
    path = tmp_path / f"scores.{suffix}"
    if suffix == "npy":
        np.save(path, scores)
    else:
        order = np.random.default_rng(0).permutation(len(rows))
        columns = {images[number]: scores[order, number] for number in reversed(range(len(images)))}
        pq.write_table(pa.table({"example_id": [rows[number]["example_id"] for number in order], **columns}), path)
    given = ["--predictions", path, "--benchmark", "flickr30k:test", "--data", world]
    code, out, err = vlmt("evaluate", *given, "--json")
    assert code == 0, err
    [report] = json.loads(out)
    assert report["task"]["score"]["value"] == pytest.approx((np.arange(len(rows)) % 4 != 0).mean())
    assert report["join"]["by"] == ("order alone" if suffix == "npy" else "caption id and image")
    np.save(tmp_path / "turned.npy", scores.T)
    code, _, err = vlmt("evaluate", "--predictions", tmp_path / "turned.npy", *given[2:])
    assert code == 3 and "it seems to be transposed" in err
