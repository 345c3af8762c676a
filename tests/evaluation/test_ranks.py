"""However many processes share the examples, scores and predictions are the same, bit for bit."""

import pytest
import torch
from evaluation.ranks import in_ranks
from evaluation.tiny_run import make_data, make_run

from vlmt_cli.analysis.consistency.names import parse_models
from vlmt_cli.analysis.consistency.run import run_vgc
from vlmt_cli.evaluation.evaluate import evaluate
from vlmt_cli.tasks.process import ALONE


@pytest.fixture(scope="module")
def data(trained_world, tmp_path_factory):
    return make_data(trained_world, tmp_path_factory.mktemp("data") / "data")


@pytest.fixture(scope="module")
def source(data, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "at", data, ["cc:1"])


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def written(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_evaluation_is_the_same_in_one_two_and_three_processes(data, source, tmp_path):
    options = {"tasks": "vqa,coco,nlvr2", "batch_size": 3, "resamples": 20, "limit": 25}
    alone = evaluate(source, data, tmp_path / "1", **options)
    for world in (2, 3):
        first, *others = in_ranks(
            world, lambda process, to=tmp_path / str(world): evaluate(source, data, to, process=process, **options)
        )
        assert first.scores == alone.scores and set(others) == {None}
        assert written(tmp_path / str(world)) == written(tmp_path / "1")


def test_mt_vgc_is_the_same_in_one_and_three_processes(data, source, tmp_path):
    def measure(process, to):
        return run_vgc(parse_models([source]), data, to, gallery=0, process=process, batch_size=5)

    measure(ALONE, tmp_path / "1")
    _, *others = in_ranks(3, lambda process: measure(process, tmp_path / "3"))
    assert set(others) == {None}
    one, three = (written(tmp_path / name) for name in "13")
    for files, name in ((one, "1"), (three, "3")):
        files["vgc.json"] = files["vgc.json"].replace(str(tmp_path / name).encode(), b"")
    assert one == three
