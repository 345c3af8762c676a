"""GQA's scene graphs: objects, their boxes, and which of them a question names."""

import json

import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.gqa_graphs import named_objects, read_graphs

DOG = {"name": "dog", "x": 1, "y": 2, "w": 5, "h": 4, "attributes": ["red", "wet"], "relations": [{"name": "on"}]}


@pytest.fixture
def read(tmp_path):
    def write_and_read(graphs):
        (tmp_path / "val_sceneGraphs.json").write_text(json.dumps(graphs))
        return read_graphs(tmp_path).to_pylist()

    return write_and_read


def test_objects_have_a_name_attributes_and_a_box_in_the_image(read):
    objects = {"7": DOG, "8": {**DOG, "x": -3, "attributes": []}, "9": {**DOG, "w": 0}, "10": {**DOG, "y": 1e300}}
    dog, clipped, empty, far = read({"30": {"width": 20, "height": 10, "objects": objects}})
    assert dog == {"image": "vg:30", "object": "7", "name": "dog", "attributes": ["red", "wet"],
                   "box": [1, 2, 6, 6], "width": 20, "height": 10}  # fmt: skip
    assert (clipped["box"], clipped["attributes"]) == ([0, 2, 2, 6], [])
    assert empty["box"] is None and far["box"] is None
    assert read({"30": {"objects": {}}}) == []


def test_a_damaged_graph_is_one_line_that_names_it(read):
    for graphs, message in (
        ({"30": {"objects": {"7": {**DOG, "x": "far"}}}}, r"val_sceneGraphs.json: record '30': .*\.x"),
        ({"../2": {"objects": {"7": DOG}}}, "val_sceneGraphs.json: .*'../2' is not an image id"),
    ):
        with pytest.raises(DataError, match=message):
            read(graphs)


def test_a_question_names_what_its_own_words_are_annotated_with(tmp_path):
    annotations = {"question": {"4": "7", "6:8": "9", "10": "7"}, "answer": {"0": "8"}, "fullAnswer": {"1": "8"}}
    questions = {"01": {"annotations": annotations}, "02": {"annotations": {"question": {}}}, "03": {"imageId": "30"}}
    (tmp_path / "val_balanced_questions.json").write_text(json.dumps(questions))
    assert named_objects(tmp_path) == {"01": ["7", "9"], "02": [], "03": []}
    with pytest.raises(DataError, match=r"there is no val_sceneGraphs.json; put it there"):
        read_graphs(tmp_path)


def test_real_questions_name_objects(real_data):
    named = named_objects(real_data / "raw" / "gqa")
    assert (len(named), sum(map(bool, named.values()))) == (1358, 913)
    assert named["001172"] == ["4340200", "4340199"]
