"""``vlmt vgc`` on a small world: what it shows, and what it says of what it cannot do."""

import json

import pyarrow.compute as pc
import pytest
from evaluation.tiny_run import make_checkpoint, make_data, make_run

from vlmt_cli.analysis.consistency.texts import find_texts
from vlmt_cli.runs.checkpoint_writer import save_single_file
from vlmt_cli.runs.lineage import Lineage


@pytest.fixture(scope="module")
def data(trained_world, tmp_path_factory):
    return make_data(trained_world, tmp_path_factory.mktemp("data") / "data")


@pytest.fixture
def measure(vlmt, data):
    return lambda *arguments: vlmt("vgc", "--data", data, *arguments)


def test_one_file(measure, data, tmp_path):
    save_single_file(tmp_path / "ckpt.pt", make_checkpoint(data, ["cc:1"]))
    code, out, err = measure("--model", tmp_path / "ckpt.pt")
    assert (code, err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "ckpt-vgc").iterdir()) == [
        "predictions",
        "vgc.json",
        "vgc_gallery.html",
    ]
    report = json.loads((tmp_path / "ckpt-vgc" / "vgc.json").read_text())
    found = report["models"]["ckpt"]["consistency"]
    both = found["weighted"]["both"]
    score = f"{100 * both['value']:.2f} [{100 * both['low']:.2f}, {100 * both['high']:.2f}]"
    assert f"MT-VGC, answered at >= 0.5 {score}" in " ".join(out.split())
    for line in ("answered at > 0", "answered at = 1", "unweighted", "expected by chance", "kappa", "adjective"):
        assert line in out
    assert f"{found['questions']:,} questions and {found['expressions']:,} expressions" in out
    assert f"{found['pairs']:,} pairs, of which {found['overlapping']:,} share" in out
    assert "ST 55.40%, AT 58.30%, AT->ST 64.64%, of 1,500 images and 111,275 pairs" in out
    assert "there is no picture" in (tmp_path / "ckpt-vgc" / "vgc_gallery.html").read_text()

    code, out, _ = measure("--model", tmp_path / "ckpt.pt", "--json")
    assert code == 0 and json.loads(out) == report


def test_models_side_by_side_are_marked_by_what_training_saw(measure, data, tmp_path):
    shown = pc.unique(find_texts(data).expressions["image"]).to_pylist()
    make_run(tmp_path / "clean", data, ["cc:1"])
    make_run(tmp_path / "leaky", data, shown[:2])
    make_run(tmp_path / "found", data, lineage=Lineage(source="the web"), images={})
    pieces = [f"[ST]:{task}={tmp_path / 'leaky'}" for task in ("vqa", "refcoco", "refcoco+")]
    specs = [tmp_path / "clean", *pieces, f"web={tmp_path / 'found'}"]
    models = [part for spec in specs for part in ("--model", spec)]
    code, out, err = measure(*models, "--to", tmp_path / "to", "--gallery", 6)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split() == ["clean", "[ST]*", "web?"]
    for line in ("[ST] above clean", "web above clean", "web above [ST]"):
        assert line in out
    assert "* [ST]: all-tasks saw 2 of these images." in out
    assert "? web: which images the web saw is not known, and they may be of these." in out
    assert not (tmp_path / "clean" / "predictions").exists()
    assert (tmp_path / "to" / "predictions" / "vgc").is_dir()
    for name in ("clean", "-ST-", "web"):
        assert (tmp_path / "to" / f"vgc_gallery-{name}.html").read_text().count("<article>") == 6


def test_what_is_wrong_is_one_line(vlmt, measure, data, tmp_path):
    run = make_run(tmp_path / "run", data, ["cc:1"])
    make_run(tmp_path / "vqa", data, ["cc:1"], ("vqa",))
    for code, message, arguments in (
        (3, "has no referring head; name a model of vqa, refcoco, refcoco+", ["--model", tmp_path / "vqa"]),
        (2, "the model of vqa lacks refcoco and refcoco+", ["--model", f"vqa={run}"]),
        (2, "there is no rule '0.7'", ["--model", run, "--right", "0.7"]),
        (2, "there is no device 'tpu'", ["--model", run, "--device", "tpu"]),
        (2, "there is no tagger 'brill'; choose lexicon, spacy or spacy:NAME", ["--model", run, "--tagger", "brill"]),
        (3, "there is no train or val of vqa; put vqa/", ["--model", run, "--data", tmp_path]),
        (3, "there is no feature store", ["--model", run, "--features", "nothing"]),
    ):
        given, out, err = measure(*arguments)
        assert (given, out, err.count("\n")) == (code, "", 1), message
        assert message in err
    pytest.importorskip("spacy")
    code, _, err = vlmt("vgc", "--model", run, "--data", data, "--tagger", "spacy:no_such_pipeline")
    assert code == 3 and "install it with: python -m spacy download no_such_pipeline" in err
