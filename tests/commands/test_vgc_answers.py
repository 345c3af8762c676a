"""``vlmt vgc --export`` and ``--predictions``: what is written and shown, and what is refused in one line."""

import json
import shlex
from pathlib import Path

import pytest
from PIL import Image

GRAPHS = {
    str(image): {
        "width": 100,
        "height": 80,
        "objects": {
            f"{image}1": {"name": "dog", "attributes": ["red"], "x": 5, "y": 5, "w": 40, "h": 40},
            f"{image}2": {"name": "dog", "attributes": [], "x": 50, "y": 5, "w": 40, "h": 40},
            f"{image}3": {"name": "man", "attributes": ["tall"], "x": 10, "y": 10, "w": 80, "h": 60},
        },
    }
    for image in range(1, 4)
}
QUESTIONS = {
    f"0{image}{number}": {
        "imageId": str(image),
        "question": text,
        "answer": "yes",
        "annotations": {"question": {"2": f"{image}{named}"}, "answer": {}, "fullAnswer": {}},
    }
    for image in range(1, 4)
    for number, (text, named) in enumerate([("Is the dog red?", 1), ("Is the dog left?", 2), ("Is the man tall?", 3)])
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    (data / "raw" / "gqa").mkdir(parents=True)
    for name, value in (("sceneGraphs", GRAPHS), ("balanced_questions", QUESTIONS)):
        (data / "raw" / "gqa" / f"val_{name}.json").write_text(json.dumps(value))
    return data


def asked(vlmt, data, form, to, *more):
    code, out, err = vlmt("vgc", "--export", form, "--pairing", "gqa-graph", "--to", to, "--data", data, *more)
    assert (code, err) == (0, "")
    return out


@pytest.mark.parametrize(
    ("form", "files", "says"),
    [
        ("llava", {"questions.jsonl"}, "--question-file"),
        ("jsonl", {"questions.jsonl"}, '"answer": "..."'),
        (
            "vlmevalkit",
            {"vlmt_vgc_gqa_graph_openended.tsv"},
            "--data vlmt_vgc_gqa_graph_openended --model MODEL --mode infer",
        ),
        ("lmms-eval", {"questions.jsonl", "utils.py", "vlmt_vgc_gqa_graph.yaml"}, "--tasks vlmt_vgc_gqa_graph"),
    ],
)
def test_each_form_says_how_to_run_it_and_how_to_read_it_back(vlmt, data, tmp_path, form, files, says):
    out = asked(vlmt, data, form, tmp_path)
    assert out.startswith("6 questions and 6 expressions about 3 images.\nVLMs' training mixtures usually have GQA's")
    assert {path.name for path in tmp_path.iterdir()} == files | {"README.md"}
    readme = (tmp_path / "README.md").read_text()
    assert says in readme and f"vlmt vgc --pairing gqa-graph --data {data} --predictions " in readme
    assert "Visual Genome; PHOTOS below" in readme


@pytest.mark.parametrize("form", ["llava", "jsonl", "lmms-eval"])
def test_the_command_that_reads_back_runs_as_it_is_written(vlmt, data, tmp_path, monkeypatch, form):
    """From the folder in which the kit left its answers, with blanks in the names of the others."""
    draw_photos(tmp_path / "the photos")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "of gqa").symlink_to(data)
    out = asked(vlmt, "of gqa", form, "the questions", "--images", "the photos")
    readme = (tmp_path / "the questions" / "README.md").read_text()
    command = readme.partition("## Read back")[2].split("```")[1].removeprefix("sh").strip()
    assert out.splitlines()[-1] == command and str(tmp_path / "the photos") in readme
    monkeypatch.chdir((tmp_path / "kit").mkdir() or tmp_path / "kit")
    *words, answers = shlex.split(command)
    lines = (tmp_path / "the questions" / "questions.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    boxes = {row["question_id"]: "yes" if row["category"] == "question" else "[50, 62, 450, 562]" for row in rows}
    path = Path(answers.replace("*/*", "MODEL/2026"))
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "lmms-eval":
        samples = [{"doc_id": n, "target": row["category"], "filtered_resps": [boxes[row["question_id"]]],
                    "vgc_answered": {"question_id": row["question_id"]}} for n, row in enumerate(rows)]  # fmt: skip
        path.write_text("".join(json.dumps(each) + "\n" for each in samples))
    else:
        write(path, boxes)
    [found] = Path().glob(answers)
    code, out, err = vlmt(*words[1:], found)
    assert code == 0 and "MT-VGC" in out, err


def test_functions_of_the_task_find_photos(vlmt, data, tmp_path, monkeypatch):
    draw_photos(tmp_path / "photos")
    asked(vlmt, data, "lmms-eval", tmp_path / "to", "--images", tmp_path / "photos")
    functions = {}
    exec((tmp_path / "to" / "utils.py").read_text(), functions)
    row = json.loads((tmp_path / "to" / "questions.jsonl").read_text().splitlines()[0])
    [photo] = functions["doc_to_visual"](row)
    assert (photo.size, photo.mode, functions["doc_to_text"](row)) == ((100, 80), "RGB", row["text"])
    result = functions["process_results"](row, ["yes"])["vgc_answered"]
    assert (result, functions["count"]([result] * 2)) == ({"question_id": row["question_id"], "prediction": "yes"}, 2)
    (tmp_path / "photos" / "2.jpg").unlink()
    code, _, err = vlmt("vgc", "--export", "llava", "--pairing", "gqa-graph", "--to", tmp_path / "no", "--data", data,
                        "--images", tmp_path / "photos")  # fmt: skip
    assert code == 3 and "lacks 1 of 3 photos, such as 2.jpg" in err


def write(path, given):
    path.write_text("".join(f"{json.dumps({'question_id': key, 'answer': text})}\n" for key, text in given.items()))
    return path


@pytest.fixture
def given(vlmt, data, tmp_path):
    """Right answers to all that is asked, boxes in thousandths."""
    asked(vlmt, data, "jsonl", tmp_path / "to")
    boxes = {"1": [50, 62, 450, 562], "3": [100, 125, 900, 875]}
    rows = [json.loads(line) for line in (tmp_path / "to" / "questions.jsonl").read_text().splitlines()]
    said = {row["question_id"]: "Yes." for row in rows if row["category"] == "question"}
    return said | {
        row["question_id"]: str(boxes[row["question_id"][-1]]) for row in rows if row["category"] != "question"
    }


def draw_photos(folder):
    folder.mkdir()
    for image in GRAPHS:
        Image.new("L", (100, 80)).save(folder / f"{image}.jpg")
    return folder


def test_models_stand_side_by_side(vlmt, data, tmp_path, given):
    half = {key: "no" if key.endswith("0") and key.startswith("gqa") else text for key, text in given.items()}
    files = [write(tmp_path / "all.jsonl", given), write(tmp_path / "half.jsonl", half)]
    arguments = [part for path in files for part in ("--predictions", path)]
    arguments += ["--images", draw_photos(tmp_path / "photos")]
    code, out, err = vlmt("vgc", "--pairing", "gqa-graph", "--data", data, "--boxes", "0-1000", *arguments)
    assert code == 0 and err.count("Boxes are read as 0-1000, xyxy; 0 boxes contradict it.") == 1
    assert err.count("12 of 12 predictions joined") == 1
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert any(line.startswith("MT-VGC, answered at >= 0.5 100.00 [") and "] 50.00 [" in line for line in lines)
    for said in ("half above all", "kind colour", "Pairing gqa-graph: GQA's val questions and the objects"):
        assert any(said in line for line in lines), said
    report = json.loads((tmp_path / "vgc" / "vgc.json").read_text())
    assert (report["pairing"], report["side_by_side"]) == ("gqa-graph", "vgc_side_by_side.html")
    page = (tmp_path / "vgc" / "vgc_side_by_side.html").read_text()
    assert page.count("<article>") == page.count('src="data:image/jpeg') == 3 and "<script" not in page
    assert page.count('class="box model0" style') == page.count('class="box model1" style') == 3


def test_what_is_missing_is_wrong_or_left_out(vlmt, data, tmp_path, given):
    halves = [{key: text for key, text in given.items() if key.startswith(kind)} for kind in ("gqa", "graph")]
    lost = next(iter(halves[0]))
    del halves[0][lost]
    files = [write(tmp_path / f"{number}.jsonl", each) for number, each in enumerate(halves)]
    arguments = [part for path in files for part in ("--predictions", f"m={path}")]
    shares = []
    for more in ([], ["--partial"]):
        code, out, err = vlmt(
            "vgc", "--pairing", "gqa-graph", "--data", data, "--boxes", "0-1000", "--json", *arguments, *more
        )
        assert code == 0 and "Without an answer: 1 question and 0 expressions" in err
        shares.append(json.loads(out)["models"]["m"]["consistency"]["weighted"]["both"]["value"])
    assert shares[0] < shares[1] == 1
    assert "Left out, as a model did not answer them: 1 question and 0 expressions" in err


def test_samples_without_ids_join_by_their_row_and_are_checked_by_the_prompt(vlmt, data, tmp_path, given):
    rows = [json.loads(line) for line in (tmp_path / "to" / "questions.jsonl").read_text().splitlines()]
    shares = []
    for name, order in (("in order", rows), ("reversed", rows[::-1])):
        samples = [
            {"doc_id": number, "target": "", "filtered_resps": [given[row["question_id"]]], "input": row["text"]}
            for number, row in enumerate(order)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in samples))
        arguments = ["--boxes", "0-1000", "--gallery", 0, "--json", "--predictions", tmp_path / f"{name}.jsonl"]
        shares.append(vlmt("vgc", "--pairing", "gqa-graph", "--data", data, *arguments))
    (code, out, err), (refused, _, why) = shares
    assert code == 0 and "by row number; the question agrees" in err
    assert json.loads(out)["models"]["in order"]["consistency"]["weighted"]["both"]["value"] == 1
    assert refused == 3 and "is in another order than MT-VGC" in why


def test_what_is_wrong_is_one_line(vlmt, data, tmp_path, given):
    file = write(tmp_path / "a.jsonl", given)
    other = write(tmp_path / "other.jsonl", {"17": "yes", "18": "no", "19": "no"})
    boxless = write(tmp_path / "boxless.jsonl", dict.fromkeys(given, "yes"))
    graph = ["--pairing", "gqa-graph"]
    for code, message, arguments in (
        (2, "there is nothing to measure; give --model a run, or --predictions a file of answers", []),
        (2, "--pairing: there is no pairing 'gqa'; take vqa-refcoco, gqa-refcoco and gqa-graph",
         ["--pairing", "gqa", "--predictions", file]),
        (2, "there is no form 'qwen'; take llava, lmms-eval", ["--export", "qwen", "--to", tmp_path / "x"]),
        (2, "it is not said where to write; give a folder with --to", ["--export", "llava"]),
        (2, "--export and --predictions exclude each other", ["--export", "llava", "--predictions", file]),
        (2, "--model does not go with --predictions", ["--model", "run", "--predictions", file]),
        (2, "--boxes does not go with --model", ["--model", "run", "--boxes", "0-1"]),
        (2, "a model that runs here is measured on vqa-refcoco alone", ["--model", "run", *graph]),
        (2, "there is no such file", [*graph, "--predictions", tmp_path / "none.jsonl"]),
        (2, "there are two models a", [*graph, "--predictions", file, "--predictions", file]),
        (3, "of MT-VGC); give answers to what vlmt vgc --export wrote", [*graph, "--predictions", other]),
        (3, "has no boxes; look at its answers: boxes are asked for", [*graph, "--predictions", boxless]),
        (3, "there is no testA or testB of refcoco", ["--pairing", "gqa-refcoco", "--predictions", file]),
    ):  # fmt: skip
        given_code, out, err = vlmt("vgc", "--data", data, *arguments)
        assert (given_code, out, err.count("\n")) == (code, "", 1), (message, err)
        assert message in err, err
