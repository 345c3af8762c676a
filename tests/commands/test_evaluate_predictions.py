"""``vlmt evaluate --predictions`` on the synthetic world: another model's answers, and what it was trained on."""

import json

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
    assert f"By a scan of mix.json, {shown} images were seen and {len(images) - shown} were not." in out
    assert "Too few seen images" in out and "difference in differences" in out and "worse.json" in out


@pytest.mark.parametrize(("task", "split", "form"), [("vqa", "val", "vqa"), ("nlvr2", "test", "nlvr2")])
def test_our_own_submissions_score_what_is_right_as_right(vlmt, world, tmp_path, task, split, form):
    from vlmt_cli.evaluation.submission import write_submission

    rows = [row for row in examples(world, task, split) if row.get("answers") or row.get("label", -1) >= 0]
    right = [
        row["unanimous"] or row["answers"][0] if task == "vqa" else ["False", "True"][row["label"]] for row in rows
    ]
    path = tmp_path / f"submission.{'json' if task == 'vqa' else 'csv'}"
    write_submission(task, path, pa.array([row["example_id"] for row in rows]), pa.array(right))
    code, out, err = vlmt(
        "evaluate", "--predictions", path, "--benchmark", f"{task}:{split}", "--data", world, "--json"
    )
    assert code == 0, err
    [report] = json.loads(out)
    assert (report["form"], report["join"]["joined"], report["join"]["missing"]) == (form, len(rows), 0)
    assert report["task"]["score"]["value"] > (0.8 if task == "vqa" else 0.999)


def test_a_file_of_another_split_is_named_with_the_option_to_give(vlmt, world, files):
    folder, _, _, _ = files
    given = ["--predictions", folder / "better.json", "--benchmark", "refcoco:testB", "--data", world]
    code, _, err = vlmt("evaluate", *given)
    assert (
        code == 3 and "its ids are those of refcoco:testA, not of refcoco:testB; give --benchmark refcoco:testA" in err
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--predictions", "x.json"], "give --benchmark, such as refcoco:testA or pope"),
        (
            ["--predictions", "x.json", "--benchmark", "pope", "--model", "run"],
            "--model does not go with --predictions",
        ),
        (["--predictions", "x.json", "--benchmark", "pope", "--control", "y.json"], "--control goes with --seen or"),
        (["--predictions", "x.json", "--benchmark", "pope", "--boxes", "percent"], "there is no convention 'percent'"),
        (["--benchmark", "pope"], "--benchmark goes with --predictions"),
        ([], "there is nothing to score"),
    ],
)
def test_what_does_not_go_together_is_refused(vlmt, given, said):
    code, _, err = vlmt("evaluate", *given)
    assert code == 2 and said in err and err.count("\n") == 1, err
