"""However many processes share the examples, scores and predictions are the same, bit for bit; a shortlist's, too."""

import numpy as np
import pytest
import torch
from evaluation.ranks import in_ranks
from evaluation.tiny_run import make_data, make_run

from vlmt_cli.analysis.consistency.names import parse_models
from vlmt_cli.analysis.consistency.run import run_vgc
from vlmt_cli.evaluation import run
from vlmt_cli.evaluation.evaluate import evaluate
from vlmt_cli.evaluation.setup import open_model
from vlmt_cli.tasks.load import load_examples
from vlmt_cli.tasks.process import ALONE
from vlmt_cli.tasks.retrieval import cascade, head, rules


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


@pytest.fixture(scope="module")
def given(data, source):
    """What runs a model on a split: the first arguments of ``predict_examples`` and ``rank``."""
    model = open_model(source)
    reader = model.reader(data)

    def of(task, split, purpose="test"):
        labels = model.checkpoint.labels.get(task)
        examples = load_examples(
            data, task, split, model.encoder, reader, purpose, clean=False, answers=labels, limit=50
        )
        return model.checkpoint.model, examples, reader, model.token(task)

    return of


def test_predictions_are_the_same_in_one_two_and_three_processes(given, monkeypatch):
    monkeypatch.setattr(head, "_IMAGES_AT_ONCE", 2)
    questions, captions = given("vqa", "train"), given("coco", "test")

    def work(process):
        said = run.predict_examples(*questions, list("abcdefgh"), 4, process)
        return {name: column.tolist() for name, column in said.items()}, head.rank(*captions, 7, process)

    alone, ranked = work(ALONE)
    assert len(set(alone["answer"])) > 1 and len(alone["score"]) == 50
    for world in (2, 3):
        (said, scores), *others = in_ranks(world, work)
        assert said == alone and (scores["scores_CI"] == ranked["scores_CI"]).all()
        assert others == [({}, {})] * (world - 1)


def test_mt_vgc_is_the_same_in_one_and_two_processes(data, source, tmp_path):
    def measure(process, to):
        return run_vgc(parse_models([source]), data, to, gallery=3, process=process, batch_size=5)

    measure(ALONE, tmp_path / "1")
    _, other = in_ranks(2, lambda process: measure(process, tmp_path / "2"))
    assert other is None
    one, two = (written(tmp_path / name) for name in "12")
    for files, name in ((one, "1"), (two, "2")):
        files["vgc.json"] = files["vgc.json"].replace(str(tmp_path / name).encode(), b"")
    assert one == two and "vgc_gallery.html" in one


def test_a_shortlist_loses_what_it_says_and_nothing_of_the_first_fold(data, source, tmp_path, monkeypatch):
    monkeypatch.setattr(cascade, "_IMAGES_AT_ONCE", 5)
    monkeypatch.setattr(rules, "FOLDED", 12)
    monkeypatch.setattr(rules, "FOLD", 6)
    options = {"tasks": "vqa,coco,nlvr2,snli_ve,refcoco", "resamples": 20}
    exact = evaluate(source, data, tmp_path / "exact", **options).scores.tasks["coco"]
    options["shortlist"] = 3
    short = evaluate(source, data, tmp_path / "1", **options).scores.tasks["coco"]
    assert (short.split, short.score) == (exact.split, exact.score)
    assert {name: value for name, value in short.extra.items() if not name.startswith("5k")} == {
        name: value for name, value in exact.extra.items() if not name.startswith("5k") and "folds" not in name
    }
    made = short.shortlist  # a hundred images are a sample; here they are all
    assert (made.k, made.pairs, made.captions, made.images) == (3, 720, 60, 12) and made.scored == made.pairs
    for name, loss in made.loss.items():
        ours, theirs = short.extra[f"5k shortlist 3 {name}"], exact.extra[f"5k {name}"]
        assert theirs.value - ours.value == pytest.approx(loss)
    assert any(made.loss.values())
    in_ranks(3, lambda process: evaluate(source, data, tmp_path / "3", process=process, **options))
    assert written(tmp_path / "3") == written(tmp_path / "1")


def test_a_shortlist_of_all_has_the_scores_of_all_pairs(given):
    test, val = given("coco", "test"), given("coco", "val", "validate")[1]
    exact, short = head.rank(*test, 7, ALONE), head.rank(*test, 7, ALONE, None, cascade.Cascade(100, val))
    assert np.allclose(short["scores_CI"], exact["scores_CI"], atol=1e-4)
    assert set(short["shortlist"]["loss"].values()) == {0.0} and "fold_CI" not in short
