"""A demo that is killed goes on where it was; what it is made of is replaced here by notes of what was called."""

import importlib
import json
from types import SimpleNamespace

import pytest
from commands.running import run as vlmt

from vlmt_cli.clean import split_folder
from vlmt_cli.commands import demo as the_demo
from vlmt_cli.miniworld import world
from vlmt_cli.runs.recipe import RECIPE

NAMES = ("clean", "extract", "pack", "pretrain", "train", "evaluate", "vgc")
SPLIT = SimpleNamespace(dataset="vqa", split="val", kept=1)
ANALYSES = {"triples": "pairs", **{name: name for name in ("ablations", "overlap", "affinity", "schedule")}}


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """Run the demo until its n-th step is killed; returns its exit code and what was called, in order."""
    calls, last = [], [None]

    def note(name):
        def call(*_, run=None, resume=False, **__):
            calls.append(f"{run.name} resumes" if resume else run.name if run else name)
            if run is not None:
                run.mkdir(parents=True, exist_ok=True)
                (run / RECIPE).touch()
            if len(calls) == last[0]:
                raise KeyboardInterrupt
            return ()

        return call

    for name in NAMES:
        monkeypatch.setattr(importlib.import_module(f"vlmt_cli.commands.{name}"), name, note(name))
    for name, module in ANALYSES.items():
        monkeypatch.setattr(importlib.import_module(f"vlmt_cli.commands.analyze_{module}"), name, note(name))
    monkeypatch.setattr(split_folder, "read_report", lambda _: SimpleNamespace(splits=[SPLIT]))
    monkeypatch.setattr(world, "write_world", note("draw"))
    monkeypatch.setattr(the_demo, "_report", note("report"))
    monkeypatch.setattr(the_demo, "write_mixture", lambda *_: None)

    def run(*arguments, until=None):
        calls.clear()
        last[0] = until
        return vlmt("demo", "--folder", str(tmp_path / "demo"), *arguments), list(calls)

    return run


@pytest.fixture
def whole(demo, tmp_path):
    """What a demo calls that nothing happens to."""
    code, calls = demo()
    assert code == 0 and calls[0] == "draw" and calls[-1] == "report" and len(calls) > 20
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    return calls


def test_a_demo_that_is_killed_again_and_again_does_every_step_once(demo, whole):
    seen = []
    for _ in range(len(whole)):
        code, calls = demo(until=2)
        seen += calls if not seen else calls[1:]  # the one that was killed is done again
        if code == 0:
            break
    assert seen == whole


def test_a_training_that_was_begun_goes_on(demo, whole):
    place = whole.index("all-tasks")
    assert demo(until=place + 1)[0] != 0
    assert demo()[1] == ["all-tasks resumes", *whole[place + 1 :]]


def test_a_finished_demo_says_so(demo, tmp_path, capsys):
    assert demo("--no-analyses")[0] == 0
    code, calls = demo("--no-analyses")
    said = capsys.readouterr().err
    assert (code, calls) == (0, [])
    assert "is finished; to start anew, delete the folder or name another with --folder" in said
    assert f"Open {tmp_path / 'demo' / 'report.html'}" in said
    code, calls = demo()  # the analyses are what is left
    assert code == 0 and "train" not in calls and calls[-1] == "report" and "vgc" in calls


def test_another_demo_or_damage_in_the_folder_is_named(demo, tmp_path, capsys):
    demo(until=3)
    assert demo("--scale", "0.3") == (2, [])
    assert "was started with --scale 1.0, not 0.3; give the same options" in capsys.readouterr().err
    (tmp_path / "demo" / "demo.json").write_text("{}")
    assert demo() == (3, [])
    assert "demo.json: is damaged" in capsys.readouterr().err
    (tmp_path / "demo" / "demo.json").unlink()
    (tmp_path / "demo" / world.MARK).write_text(json.dumps({"seed": 7, "sizes": {}}))
    assert demo() == (2, [])
    assert "holds a world of another seed or scale" in capsys.readouterr().err


def test_a_scale_that_does_not_train_is_refused(demo, tmp_path, capsys):
    assert demo("--scale", "0.1") == (2, [])
    assert "--scale': Input should be greater than or equal to 0.2" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_a_world_in_which_cleaning_leaves_nothing_is_said(demo, capsys, monkeypatch):
    monkeypatch.setattr(SPLIT, "kept", 0)
    assert demo() == (2, ["draw", "clean"])
    assert "cleaning leaves no val examples of vqa in a world of this size; give a larger" in capsys.readouterr().err
