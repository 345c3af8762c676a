"""Dynamic stop-and-go: Algorithm 1 by hand, and the authors' controller against what it did, state by state."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning_fabric import Fabric
from training.toy_loop import toy_loop

from vlmt_cli.training.dsg import AuthorsStopAndGo, StopAndGo

TRACE = json.loads((Path(__file__).parents[1] / "data" / "dsg_trace.json").read_text())
SCORES = st.lists(st.floats(0, 1).map(lambda score: round(score, 4)), max_size=30)


@pytest.mark.parametrize("name", TRACE["sequences"])
def test_the_authors_controller_does_what_theirs_did(name):
    params, steps = TRACE["params"], TRACE["sequences"][name]
    controller = AuthorsStopAndGo(
        converged=params["threshold"],
        diverged=params["continue_threshold"],
        patience=params["patience"],
        cooldown=params["cooldown"],
    )
    assert controller == AuthorsStopAndGo()
    for step in steps:
        state = controller.observe(step["score"])
        kept = {"in_stop": state == "stop", "best": controller.best, "num_bad": controller.bad}
        assert kept | {"score": step["score"], "cooldown": controller.cooling} == step


@pytest.mark.parametrize(
    ("scores", "states"),
    [
        # It needs two evaluations and the one two before: the third is the first that can stop it.
        ([0.7, 0.7, 0.7], "go go stop"),
        # 0.1% over two evaluations is the least that goes on, and the one in between does not count.
        ([0.5, 0.1, 0.5005, 0.1002], "go go go go"),
        ([0.5, 0.9, 0.50049], "go go stop"),
        ([0.6, 0.60031, 0.60062, 0.60093], "go go go go"),  # 0.05% an evaluation
        ([0.6, 0.60023, 0.60047], "go go stop"),  # 0.04%
        # While it is stopped only 0.5% below the best ever lets it go: 0.796 of 0.8, which the last ones were not.
        ([0.8, 0.7, 0.7, 0.797, 0.7961, 0.7959], "go go stop stop stop go"),
        ([0.5, 0.5, 0.5, 0.6, 0.598, 0.5969], "go go stop stop stop go"),  # a best while it is stopped counts
        # After that two more are due, and the one that let it go is what the second is compared with.
        ([0.8, 0.8, 0.8, 0.7, 0.6, 0.7008, 0.7], "go go stop go go go go"),
        ([0.8, 0.8, 0.8, 0.7, 0.9, 0.7006], "go go stop go go stop"),
        # A task that gets worse is stopped first, and let go by the next evaluation.
        ([0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2], "go go stop go go stop go"),
        # The losses of pre-training, as scores: -5 is better than -5.01 by more than 0.1%.
        ([-5.02, -5.02, -5.01, -5.01, -5.0099], "go go go go stop"),
        ([-5.0, -5.0, -5.0, -5.02, -5.03], "go go stop stop go"),
    ],
)
def test_algorithm_1_by_hand(scores, states):
    controller = StopAndGo()
    assert [controller.observe(score) for score in scores] == states.split()


@pytest.mark.parametrize("kind", [StopAndGo, AuthorsStopAndGo])
def test_a_stopped_task_trains_every_gap_th_iteration(kind):
    trained = {gap: [i for i in range(1, 17) if kind(gap=gap, state="stop").trains(i)] for gap in (4, 8, 16)}
    assert trained == {4: [4, 8, 12, 16], 8: [8, 16], 16: [16]}
    assert all(kind(gap=gap).trains(i) for gap in (4, 16) for i in range(1, 17))


@pytest.mark.parametrize(
    ("gap", "updates"),
    [
        # The VQA scores stop it at iteration 6, and let it go at 14, 2 iterations an evaluation.
        (4, [1, 2, 3, 4, 5, 6, 8, 12, 15, 16, 17, 18]),
        (1, list(range(1, 19))),
    ],
)
def test_the_loop_steers_by_algorithm_1(gap, updates):
    scores = {"vqa": [0.5, 0.5, 0.5, 0.5, 0.499, 0.498, 0.4, 0.5, 0.6], "snli_ve": [0.1 * k for k in range(1, 10)]}
    loop, metrics = toy_loop(
        Fabric(accelerator="cpu", devices=1), [("vqa", "snli_ve")] * 18, scores, evaluate_every=2, gap=gap
    )
    assert loop.run()
    trained = {"vqa": [], "snli_ve": []}
    for line in metrics:
        if line["kind"] == "train":
            trained[line["task"]].append(line["iteration"])
    assert trained == {"vqa": updates, "snli_ve": list(range(1, 19))}
    told = [(line["iteration"], line["before"], line["state"]) for line in metrics if line["kind"] == "validation"]
    assert [one for one in told if one[1] != one[2]] == [(6, "go", "stop"), (14, "stop", "go")]
    assert loop.state.batches == {"vqa": len(updates), "snli_ve": 18}


def test_training_can_end_when_every_task_has_stopped():
    loop, metrics = toy_loop(Fabric(accelerator="cpu", devices=1), [("vqa",)] * 9, stop_when_converged=True)
    assert loop.run()
    assert [line["iteration"] for line in metrics if line["kind"] == "train"] == [1, 2, 3]
    assert metrics[-1] == {"kind": "end", "iteration": 3, "seconds": metrics[-1]["seconds"]}
    assert loop.run() and loop.state.iteration == 3  # as when it is resumed


@pytest.mark.parametrize("kind", [StopAndGo, AuthorsStopAndGo])
@settings(deadline=None)
@given(scores=SCORES)
def test_a_gap_of_1_is_round_robin(kind, scores):
    controller = kind(gap=1)
    for iteration, score in enumerate(scores, 1):
        assert controller.trains(iteration)
        controller.observe(score)


@settings(deadline=None)
@given(scores=SCORES)
def test_stops_and_gos_follow_the_papers_conditions(scores):
    controller, entered = StopAndGo(), -1
    for k, score in enumerate(scores):
        before = controller.state
        after = controller.observe(score)
        if before == "go":
            converged = k - entered >= 2 and k >= 2 and score < 1.001 * scores[k - 2]
            assert after == ("stop" if converged else "go")
        else:
            diverged = score < 0.995 * max(scores[: k + 1])
            assert after == ("go" if diverged else "stop")
            entered = k if diverged else entered


@pytest.mark.parametrize("kind", [StopAndGo, AuthorsStopAndGo])
@settings(deadline=None)
@given(scores=SCORES, cut=st.integers(0, 30))
def test_it_goes_on_from_what_a_checkpoint_keeps(kind, scores, cut):
    whole, first = kind(), kind()
    for score in scores[:cut]:
        whole.observe(score)
        first.observe(score)
    second = kind(**json.loads(json.dumps(first.state_dict())))
    assert second == whole
    assert [second.observe(score) for score in scores[cut:]] == [whole.observe(score) for score in scores[cut:]]
