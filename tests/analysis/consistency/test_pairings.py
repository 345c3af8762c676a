"""Pairings of GQA's val: equation 5 from the official files and answers, by loops over questions and objects."""

import json
from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from vlmt_cli.analysis.consistency import gqa_texts
from vlmt_cli.analysis.consistency.beside import where_models_differ
from vlmt_cli.analysis.consistency.concepts import load_tagger
from vlmt_cli.analysis.consistency.from_answers import export_questions, run_answers
from vlmt_cli.analysis.consistency.pairings import pair_texts
from vlmt_cli.analysis.consistency.vgc import Outcome
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import write_parquet
from vlmt_cli.base.identity import links_table
from vlmt_cli.datasets.tables import REFERRING

NAMES, ATTRIBUTES = ("dog", "dogs", "chair", "man", "car"), ("red", "large", "wooden", "left")
ASKED = ("What color is the {}?", "Is the {} left of the {}?", "Who is near the large {}?", "What is he doing?")


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """GQA's val of 24 images, vg:1 to vg:24, with scene graphs; RefCOCO's expressions of coco:101 to coco:112, of which
    the first ten are vg:1 to vg:10."""
    data, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(4)
    graphs, questions = {}, {}
    for image in range(1, 25):
        objects = {}
        for number in range(rng.integers(2, 7)):
            sides = {side: int(rng.integers(1, 60)) for side in "xywh"}
            attributes = [str(each) for each in rng.permutation(ATTRIBUTES)[: rng.integers(0, 3)]]
            objects[str(100 * image + number)] = {"name": str(rng.choice(NAMES)), "attributes": attributes, **sides}
        graphs[str(image)] = {"width": 120, "height": 120, "objects": objects}
        for number in range(6):
            named = [str(each) for each in rng.choice(list(objects), 2)]
            words = [objects[each]["name"] for each in named]
            kind = ASKED[number % 4]
            annotated = {"4": named[0], "8:9": named[1]} if kind.count("{}") == 2 else {"4": named[0]}
            questions[f"0{image * 10 + number}"] = {
                "imageId": str(image),
                "question": kind.format(*words),
                "answer": str(rng.choice(["red", "yes", "man"])),
                "annotations": {"question": {} if "he" in kind.split() else annotated, "answer": {"0": named[1]}},
            }
    write_json(data / "raw" / "gqa" / "val_sceneGraphs.json", graphs)
    write_json(data / "raw" / "gqa" / "val_balanced_questions.json", questions)
    for task, count in (("refcoco", 20), ("refcoco+", 16)):
        rows = [
            {
                "example_id": str(number),
                "images": [f"coco:{101 + number % 12}"],
                "text": f"{rng.choice(ATTRIBUTES)} {rng.choice(NAMES)}",
                "box": [0, 0, *map(float, rng.integers(20, 100, 2))],
                "candidates": [], "target": None, "category": "x",
            }
            for number in range(count)
        ]  # fmt: skip
        write_parquet(data / "examples" / task / "testA.parquet", pa.Table.from_pylist(rows, REFERRING))
    same = [pa.array(f"{source}:{start + number}" for number in range(10)) for source, start in
            (("vg", 1), ("coco", 101))]  # fmt: skip
    write_parquet(data / "examples" / "vg_images" / "links.parquet", links_table(*same, "crosswalk"))
    return data


def of_gqa(data, name):
    return json.loads((data / "raw" / "gqa" / f"val_{name}.json").read_text())


def lemmas(text):
    return {word.lemma for word in load_tagger()([text])[0]}


def graph_expressions(data):
    """Each object that its name and attributes single out: image, object, text, corners."""
    for image, graph in of_gqa(data, "sceneGraphs").items():
        for name, thing in graph["objects"].items():
            fitting = [
                other
                for other, each in graph["objects"].items()
                if each["name"].rstrip("s") == thing["name"].rstrip("s")
                and all(attribute in each["attributes"] for attribute in thing["attributes"])
            ]
            x, y, w, h = (thing[side] for side in "xywh")
            if fitting == [name]:
                text = " ".join([*thing["attributes"], thing["name"]])
                yield image, name, text, [x, y, min(x + w, 120), min(y + h, 120)]


def pairs_of_graph(data):
    """Id, right answer and text of a question, and id, right box and text of an expression, of each pair."""
    for (key, asked), (image, name, text, box) in product(
        of_gqa(data, "balanced_questions").items(), list(graph_expressions(data))
    ):
        if asked["imageId"] == image and name in asked["annotations"]["question"].values():
            yield (f"gqa:{key}", asked["answer"], asked["question"]), (f"graph:vg:{image}-{name}", box, text), image


def pairs_of_refcoco(data):
    import pyarrow.parquet as pq

    said = [
        (task, row)
        for task in ("refcoco", "refcoco+")
        for row in pq.read_table(data / "examples" / task / "testA.parquet").to_pylist()
    ]
    for (key, asked), (task, row) in product(of_gqa(data, "balanced_questions").items(), said):
        if int(asked["imageId"]) <= 10 and row["images"] == [f"coco:{int(asked['imageId']) + 100}"]:
            question = f"gqa:{key}", asked["answer"], asked["question"]
            yield question, (f"{task}:{row['example_id']}", row["box"], row["text"]), asked["imageId"]


def iou(ours, theirs):
    sides = [max(min(ours[i + 2], theirs[i + 2]) - max(ours[i], theirs[i]), 0) for i in (0, 1)]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (ours, theirs)]
    return sides[0] * sides[1] / (sum(areas) - sides[0] * sides[1])


def answers(pairs, path, seed):
    """Answers of a model that is right about every second text or so; returns them by id."""
    rng, given = np.random.default_rng(seed), {}
    for (asked, answer, _), (said, box, _), _ in pairs:
        given.setdefault(asked, f"{answer.capitalize()}." if rng.random() < 0.6 else "nothing")
        x1, y1, x2, y2 = box
        given.setdefault(said, [x1, y1, x2, (y1 + y2) / 2 + 1 if rng.random() < 0.4 else y2])
    lines = [json.dumps({"question_id": key, "answer": str(each)}) for key, each in given.items()]
    path.write_text("\n".join(lines))
    return given


@pytest.mark.parametrize(("pairing", "pairs_of"), [("gqa-graph", pairs_of_graph), ("gqa-refcoco", pairs_of_refcoco)])
def test_equation_5_by_brute_force(data, tmp_path, pairing, pairs_of):
    pairs = list(pairs_of(data))
    given = {name: answers(pairs, tmp_path / f"{name}.jsonl", seed) for seed, name in enumerate("ab")}
    report = run_answers([str(tmp_path / f"{name}.jsonl") for name in "ab"], data, pairing=pairing, boxes="pixels")
    for name, said in given.items():
        total = both = overlapping = 0
        for (asked, answer, question), (meant, box, expression), _ in pairs:
            d = len(lemmas(question) & lemmas(expression))
            right = said[asked].strip(".").lower() == answer and iou(said[meant], box) > 0.5
            total, both, overlapping = total + d, both + d * right, overlapping + (d > 0)
        found = report.models[name].consistency
        assert 0 < both < total
        assert (found.pairs, found.overlapping, found.weighted.weight) == (len(pairs), overlapping, total)
        assert found.weighted.both.value == pytest.approx(both / total)
        assert found.images == len({image for *_, image in pairs})
    [difference] = report.differences
    a, b = (report.models[name].consistency.weighted.both.value for name in "ab")
    assert difference.weighted.value == pytest.approx(b - a)
    assert (tmp_path / "vgc" / report.side_by_side).read_text().count("<article>")


def test_all_that_is_asked_is_in_a_pair(data, tmp_path):
    pairs = list(pairs_of_graph(data))
    asked = export_questions("jsonl", tmp_path, data, "gqa-graph").table
    assert set(asked["question_id"].to_pylist()) == {each[0] for pair in pairs for each in pair[:2]}
    written = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    assert written == asked.to_pylist()
    texts = {each[0]: each[2] for pair in pairs for each in pair[:2]}
    assert all(texts[row["question_id"]] in row["text"].partition("\n")[0] for row in written)
    assert {row["image"] for row in written} == {f"{image}.jpg" for *_, image in pairs}


def test_the_built_in_crosswalk_stands_in(data, tmp_path):
    """vg:1 is none of COCO's; by the built-in crosswalk some other image is."""
    from vlmt_cli.datasets.crosswalks import builtin_crosswalk

    link = builtin_crosswalk().slice(0, 1).to_pylist()[0]
    asked = {"01": {"imageId": link["image"].partition(":")[2], "question": "Is the dog red?", "answer": "no"}}
    write_json(tmp_path / "raw" / "gqa" / "val_balanced_questions.json", asked)
    row = {"example_id": "1", "images": [link["alias"]], "text": "dog", "box": [0, 0, 9, 9], "candidates": []}
    table = pa.Table.from_pylist([row | {"target": None, "category": "x"}], REFERRING)
    for task in ("refcoco", "refcoco+"):
        write_parquet(tmp_path / "examples" / task / "testB.parquet", table)
    texts = gqa_texts.gqa_on_refcoco(tmp_path)
    assert (texts.questions["image"].to_pylist(), len(texts.expressions)) == ([link["image"]], 2)
    write_json(tmp_path / "raw" / "gqa" / "val_balanced_questions.json", {"01": asked["01"] | {"imageId": "999999999"}})
    with pytest.raises(DataError, match="is one of GQA's val"):
        gqa_texts.gqa_on_refcoco(tmp_path)


def test_pairs_side_by_side_are_those_that_set_models_apart(data):
    texts = gqa_texts.gqa_with_graph(data)
    pairs = pair_texts(texts, load_tagger())
    rng = np.random.default_rng(0)
    outcomes = [
        Outcome(rng.integers(0, 2, len(texts.questions)).astype(float), rng.random(len(texts.expressions)) < 0.5)
        for _ in range(3)
    ]
    places = where_models_differ(pairs, outcomes, "= 1", most=9, an_image=1)
    assert len(places) == 9 == len(set(pairs.image_P[places]))
    sides = [
        [(o.accuracy[pairs.question_P[p]] == 1, o.located[pairs.expression_P[p]]) for o in outcomes] for p in places
    ]
    assert all(len({answered != found for answered, found in each}) == 2 for each in sides)
    shared = pairs.overlap_P[places].tolist()
    assert shared == sorted(shared, reverse=True) and min(shared) > 0
