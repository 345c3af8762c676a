"""What adding to the project costs, tried: a copy of it, with exactly the files that the documentation names.

``tests/adding`` holds the new files. Every other edit is one row or one line, made here.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from adding import okvqa
from handmade import write

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.table import TWELVE

PROJECT = Path(__file__).parents[1]
NEW = Path(__file__).parent / "adding"
ROWS = """
    "okvqa": Dataset(
        title="OK-VQA",
        short="OK-VQA",
        read=okvqa.read,
        schema=tables.VQA,
        group="G1",
        metric="VQA accuracy",
        files={
            name.format(year): "https://okvqa.allenai.org/download.html"
            for name in (okvqa.QUESTIONS, okvqa.ANNOTATIONS)
            for year in ("train2014", "val2014")
        },
        head="vqa",
        vocabulary="vqa",
        token=3,
        batch_size=128,
        learning_rate=4e-5,
        max_tokens=26,
    ),
    "refclef": Dataset(
        title="RefClef",
        short="RefClef",
        read=refclef.read,
        schema=tables.REFERRING,
        group="G3",
        files={refclef.FILE: "https://github.com/lichengunc/refer"},
        metric=_BOX,
        head="referring",
        token=5,
    ),
    "aokvqa": Dataset(
        title="A-OKVQA",
        short="A-OKVQA",
        read=aokvqa.read,
        schema=aokvqa.SCHEMA,
        group="MC",
        files={aokvqa.FILE.format(split): "https://github.com/allenai/aokvqa" for split in ("train", "val", "test")},
        head="choice",
        labels=aokvqa.CHOICES,
        token=6,
        max_tokens=40,
    ),
"""


def edit(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1, f"{path} has {text.count(old)} times {old!r}"
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with three datasets, one of them of a new group and one of new photos, and a column."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in ("vlmt_cli", "recipes"):
        shutil.copytree(PROJECT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    package = copy / "vlmt_cli"
    for reader in ("okvqa", "refclef", "aokvqa"):
        shutil.copy(NEW / f"{reader}.py", package / "datasets")
    shutil.copytree(NEW / "multiple_choice", package / "tasks" / "multiple_choice")
    table = package / "datasets" / "table.py"
    edit(table, "from vlmt_cli.datasets import (\n", "from vlmt_cli.datasets import (\n    aokvqa, okvqa, refclef,\n")
    edit(table, '    "conceptual_captions": Dataset(\n', f'{ROWS}    "conceptual_captions": Dataset(\n')
    edit(package / "tasks" / "groups.py", '"G4": "verification"}', '"G4": "verification", "MC": "multiple_choice"}')
    # A column of a report, twice: the typed schema, and the one table that shows it.
    schema, page = package / "evaluation" / "scores.py", package / "analysis" / "overview.py"
    edit(
        schema, "    score: Estimate\n    extra:", '    score: Estimate\n    judged_by: str = "judge no. 7"\n    extra:'
    )
    edit(page, 'f"{score.metric}, {score.split}",', 'f"{score.metric}, {score.split}, {score.judged_by}",')
    report, shown = package / "clean" / "report.py", package / "commands" / "clean_tables.py"
    edit(report, "    cleaned_train_val: int\n", "    cleaned_train_val: int\n    letters: int = 7\n")
    edit(shown, 'f"{images.test:,}",', 'f"{images.test:,}", f"{images.letters:,}",')
    edit(shown, '"removed", "test images"]', '"removed", "test images", "letters"]')
    return copy


@pytest.fixture(scope="module")
def data(trained_world, tmp_path_factory):
    """The small world with the official files of the new datasets, which ask about the world's photos."""
    data = tmp_path_factory.mktemp("adding") / "data"
    shutil.copytree(trained_world, data)

    def photos(split):
        images = pq.read_table(data / "examples" / "vqa" / f"{split}.parquet", columns=["images"])["images"]
        return list(dict.fromkeys(key.as_py()[0].removeprefix("coco:") for key in images))

    train, test = photos("train"), photos("test")
    assert len(train) > 30 and len(test) > 4
    folder = data / "raw" / "okvqa"
    folder.mkdir()
    for year, images in (("train2014", train[::3]), ("val2014", test[::2])):
        ids = range(1000, 1000 + len(images))
        asked = [{"image_id": int(image), "question": "What shape is it?", "question_id": i}
                 for i, image in zip(ids, images, strict=True)]  # fmt: skip
        said = [{"question_id": i, "answers": [{"answer": "yes" if i % 2 else "no"}] * 10} for i in ids]
        (folder / f"OpenEnded_mscoco_{year}_questions.json").write_text(json.dumps({"questions": asked}))
        (folder / f"mscoco_{year}_annotations.json").write_text(json.dumps({"annotations": said}))
    folder = data / "raw" / "aokvqa"
    folder.mkdir()
    for split, images in (("train", train[1::3]), ("val", train[2::3]), ("test", test[1::2])):
        asked = [{"image_id": int(image), "question_id": f"{split}{i}", "question": "What colour is it?",
                  "choices": ["red", "green", "blue", "white"], "correct_choice_idx": i % 4}
                 for i, image in enumerate(images)]  # fmt: skip
        (folder / f"aokvqa_v1p0_{split}.json").write_text(json.dumps(asked))
    folder = data / "raw" / "refclef"
    folder.mkdir()
    (data / "images" / "refclef").mkdir()
    references = []
    for i, photo in enumerate(sorted((data / "images" / "coco").iterdir())[:30]):
        shutil.copy(photo, data / "images" / "refclef" / f"{i}{photo.suffix}")
        split = "train" if i < 20 else "val" if i < 25 else "test"
        box, other = [2, 2, 40, 40], [10, 10, 60, 60]
        references.append({"split": split, "image": str(i), "ref_id": i, "sentence": "the red circle", "box": box,
                           "boxes": [box, other]})  # fmt: skip
    (folder / "refclef.json").write_text(json.dumps(references))
    return data


COMMANDS = """
import json, sys
from vlmt_cli.app import main
for arguments in json.loads(sys.argv.pop()):
    sys.argv = ["vlmt", *arguments]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
    print("-- next --")
"""


def vlmt(project, *commands):
    """Run commands of the copy, one after another in a process of its own; returns what each printed."""
    environment = os.environ | {"PYTHONPATH": str(project), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    result = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps([[str(word) for word in command] for command in commands])],
        cwd=project, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    *shown, rest = result.stdout.split("-- next --\n")
    assert len(shown) == len(commands) and not rest
    return shown


def test_three_datasets_a_group_and_a_column_cost_what_is_said(project, data):
    at = ("--data", str(data))
    new_photos = f"refclef={data}/images/refclef"
    run = data / "runs" / "new"
    settings = ("training.iterations=2", "training.batch_size=8", "training.validation_examples=8")
    options = [word for setting in settings for word in ("--set", setting)]
    tasks = "okvqa,refclef,aokvqa,nlvr2"
    cleaned, _, _, _, evaluated, _ = vlmt(
        project,
        ("clean", "--datasets", "all,okvqa,refclef,aokvqa,conceptual_captions", "--replace", *at),
        ("extract", new_photos, "--extractor", "pixels", *at),
        ("extract", "--extractor", "pixels", "--boxes", "candidates", *at),
        ("train", "--task", tasks, "--scale", "mini", "--device", "cpu", "--run", run, *options, *at),
        ("evaluate", "--model", run, "--paper", "--device", "cpu", *at),
        ("report", run, "--to", data / "page.html", *at),
    )
    assert "letters" in cleaned
    report = json.loads((data / "clean" / "report.json").read_text())
    assert {"okvqa", "refclef", "aokvqa", *TWELVE} <= {row["dataset"] for row in report["images"]}
    assert report["test_images_after"]["vqa"]["okvqa"]["hit"] == 0

    assert all(name in evaluated for name in ("OK-VQA", "RefClef", "A-OKVQA", "NLVR2"))
    scores = json.loads((run / "scores.json").read_text())["tasks"]
    assert list(scores) == ["nlvr2", "okvqa", "refclef", "aokvqa"]
    assert all(0 <= task["score"]["value"] <= 1 for task in scores.values())
    assert {task["judged_by"] for task in scores.values()} == {"judge no. 7"}

    page = (data / "page.html").read_text()
    rows = ("OK-VQA</td>", "RefClef</td>", "A-OKVQA</td>", "accuracy, test, judge no. 7</td>")
    assert all(f"<td>{row}" in page for row in rows[:3]) and rows[3] in page
    assert page.count('class="card"') >= 8 and "Chance baselines" not in page


ASKED, ANNOTATED = (name.format("val2014") for name in (okvqa.QUESTIONS, okvqa.ANNOTATIONS))
QUESTION = {"image_id": 5, "question": "What is it?", "question_id": 51}
ANNOTATION = {"question_id": 51, "answers": [{"answer": "A dog."}] * 10}


def test_test_images_are_known_without_annotations(tmp_path):
    for files, answers in (({}, []), ({ANNOTATED: {"annotations": [ANNOTATION]}}, ["dog"])):
        write(tmp_path, {ASKED: {"questions": [QUESTION]}} | files)
        [row] = okvqa.read(tmp_path, Options()).splits["test"].to_pylist()
        assert (row["example_id"], row["images"], row["answers"]) == ("51", ["coco:5"], answers)


@pytest.mark.parametrize(
    ("question", "annotations", "error"),
    [
        (QUESTION, [ANNOTATION | {"question_id": 52}], f"question 51 has no annotation in {ANNOTATED}"),
        (QUESTION | {"image_id": -3}, [ANNOTATION], f"{ASKED}: record 0: 'coco:-3' is not an image key"),
    ],
)
def test_a_damaged_file_is_named_with_its_record(tmp_path, question, annotations, error):
    write(tmp_path, {ASKED: {"questions": [question]}, ANNOTATED: {"annotations": annotations}})
    with pytest.raises(DataError, match=error):
        okvqa.read(tmp_path, Options())


def test_the_rows_are_written_as_ruff_writes_them(tmp_path):
    rows = tmp_path / "rows.py"
    rows.write_text(f"DATASETS = {{{ROWS}}}\n")
    subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", "--config", PROJECT / "pyproject.toml", rows], check=True
    )


def test_the_twelve_stay_the_twelve(project):
    said = subprocess.run(
        [sys.executable, "-c", "from vlmt_cli.datasets.table import GROUPS, TWELVE; print(*TWELVE, *GROUPS)"],
        cwd=project, env=os.environ | {"PYTHONPATH": str(project)}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said.split() == [*TWELVE, "G1", "G2", "G3", "G4"]


def test_an_edit_of_a_reader_makes_its_examples_stale_and_no_others(project, data):
    at = ("--data", str(data))
    before = {name: json.loads((data / "examples" / name / "manifest.json").read_text()) for name in ("okvqa", "vqa")}
    edit(project / "vlmt_cli" / "datasets" / "okvqa.py", '"text": question.question', '"text": f"{question.question}!"')
    vlmt(project, ("clean", "--datasets", "all,okvqa,refclef,aokvqa,conceptual_captions", *at))
    after = {name: json.loads((data / "examples" / name / "manifest.json").read_text()) for name in before}
    assert after["okvqa"]["reader"] != before["okvqa"]["reader"] and after["vqa"] == before["vqa"]
    texts = pq.read_table(data / "examples" / "okvqa" / "train.parquet")["text"].to_pylist()
    assert set(texts) == {"What shape is it?!"}
