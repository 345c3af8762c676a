"""A loop that asks the device only when it logs trains, and fails, as one that asks at every update."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from lightning_fabric import Fabric
from training.toy_loop import toy_loop

from vlmt_cli.training import loop_state
from vlmt_cli.training.loop_state import Clock, DivergedError
from vlmt_cli.training.optimizer import excess, take_step

TURNS = [("vqa", "refcoco"), ("snli_ve",)] * 3


def looping(waits, **choices):
    loop, metrics = toy_loop(Fabric(accelerator="cpu"), TURNS, evaluate_every=100, log_every=4, **choices)
    loop._waits = waits
    return loop, metrics


def weights(loop):
    return torch.cat([value.flatten() for value in loop.model.module.state_dict().values()])


@pytest.mark.parametrize("clip", [None, 0.1])
def test_losses_and_weights_are_those_of_a_loop_that_waits(clip):
    ends = []
    for waits in (True, False):
        loop, metrics = looping(waits, clip=clip)
        assert loop.run()
        said = [(line["iteration"], line["task"], line["loss"]) for line in metrics if line["kind"] == "train"]
        ends.append((weights(loop), said))
    assert torch.equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1] and [line[0] for line in ends[0][1]] == [4, 4, 4, 6, 6, 6]


def test_a_divergence_is_told_when_it_is_asked_for_and_no_later_update_moves_a_weight():
    told = []
    for waits in (True, False):
        loop, metrics = looping(waits)
        sums = loop.loop_tasks["refcoco"].sums
        before = []

        def broken(model, batch, loop=loop, sums=sums, before=before):
            losses = sums(model, batch)
            if loop.state.iteration < 2:  # so that the second of its three batches breaks
                return losses
            before.append(weights(loop))
            return {name: (total * float("nan"), count) for name, (total, count) in losses.items()}

        loop.loop_tasks["refcoco"] = replace(loop.loop_tasks["refcoco"], sums=broken)
        with pytest.raises(DivergedError, match=r"refcoco is NaN or infinite .* in iteration 3, batch 1") as error:
            loop.run()
        assert torch.equal(weights(loop), before[0]) and not metrics
        told.append((str(error.value), error.value.number, error.value.parts[0].inputs[1]))
    assert told[0][:2] == told[1][:2] and torch.equal(told[0][2], told[1][2])


class Event:
    """What stands in for CUDA's: it tells its time only once somebody has waited for it."""

    def __init__(self):
        self.known = False

    def record(self):
        self.known = False

    def synchronize(self):
        self.known = True

    def elapsed_time(self, end):
        assert end.known
        return 250.0


def test_a_clock_of_a_gpu_waits_when_it_is_asked(monkeypatch):
    monkeypatch.setattr(loop_state, "_event", Event)
    clock = Clock(torch.device("cuda"))
    clock.stop()
    assert not clock._events[1].known and clock.seconds == 0.25


def test_losses_of_several_processes_are_summed_without_a_barrier(monkeypatch):
    def barrier(*_, **__):
        pytest.fail("the processes wait for their devices")

    monkeypatch.setattr(torch.distributed, "barrier", barrier)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda values: values.mul_(2))
    loop, _ = looping(False)
    loop.fabric = SimpleNamespace(world_size=2)
    assert loop._together(torch.tensor([1.0, 3.0])).tolist() == [2, 6]


@pytest.mark.parametrize("most", [0.5, 1e9])
def test_gradients_are_clipped_as_torch_does(most):
    """What the optimizer divides by is what ``clip_grad_norm_`` multiplies by, and it is gone after the step."""
    fabric = Fabric(accelerator="cpu")
    model = torch.nn.Linear(5, 3)
    own = torch.optim.AdamW(model.parameters(), lr=0.1, eps=1.0, fused=True)
    optimizer = fabric.setup_optimizers(own)
    model(torch.randn(4, 5)).square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    norm = float(torch.cat([gradient.flatten() for gradient in gradients]).norm())
    assert float(excess(list(model.parameters()), most)) == pytest.approx(max(norm / most, 1), rel=1e-5)
    take_step(fabric, list(model.parameters()), optimizer, most)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        moment = 0.1 * gradient * min(1, most / norm)
        torch.testing.assert_close(own.state[parameter]["exp_avg"], moment, rtol=1e-4, atol=1e-7)
        assert parameter.grad is None
