"""Affinities against brute force: a copy of the model that really takes the step, on batches it has not seen."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from vlmt_cli.training.affinity import measure, part_of, step_sizes
from vlmt_cli.trunks.table import TRUNKS, make_trunk, trunk_config

TASKS = ("twice", "little", "against", "aside")
RATE = 0.05


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 4))
        self.heads = nn.ModuleDict({task: nn.Linear(4, 1) for task in TASKS})


def truth(task, x):
    """What the tasks ask of the same kind of input; two agree, one wants the opposite, one another thing."""
    wanted = {"twice": 2 * x[:, 0], "little": x[:, 0] / 2, "against": -2 * x[:, 0], "aside": x[:, 1] * x[:, 2]}
    return wanted[task][:, None]


def batch(seed, size=64):
    return SimpleNamespace(x=torch.randn(size, 6, generator=torch.Generator().manual_seed(seed)))


def loss_of(model, task, part):
    return (model.heads[task](model.trunk(part.x)) - truth(task, part.x)).square().mean()


def work(task):
    return SimpleNamespace(
        plan=SimpleNamespace(scale=1.0),
        counts=lambda parts: {"loss": float(sum(len(part.x) for part in parts))},
        sums=lambda model, part: {"loss": (loss_of(model, task, part) * len(part.x), torch.tensor(len(part.x)))},
    )


@pytest.fixture(scope="module")
def trained():
    """A model and its optimizer after some steps on all tasks, so that heads are in use."""
    model = Model()
    for head in model.heads.values():  # the same, so that which task wants what decides
        head.load_state_dict(model.heads["twice"].state_dict())
    optimizer = torch.optim.AdamW([{"params": list(model.parameters()), "ratio": 1.0}], lr=1e-2)
    for step in range(40):
        for task in TASKS:
            loss_of(model, task, batch(step)).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    return model, optimizer


def measured(model, sizes, seed, clip=None, **precision):
    parts = {task: [batch(seed)] for task in TASKS}
    return measure(model, {task: work(task) for task in TASKS}, parts, sizes, clip, **precision)


def brute_force(model, sizes, task, other, seed, fresh):
    """1 - L_j(after) / L_j(before) on another batch, with the step taken on a copy."""
    stepped = copy.deepcopy(model)
    loss_of(stepped, task, batch(seed)).backward()
    with torch.no_grad():
        for name, parameter in stepped.named_parameters():
            if name in sizes:
                parameter -= sizes[name] * parameter.grad
    with torch.no_grad():
        return 1 - float(loss_of(stepped, other, batch(fresh)) / loss_of(model, other, batch(fresh)))


def test_it_is_what_a_step_does(trained):
    model, _ = trained
    sizes = {name: RATE for name, _ in model.named_parameters() if name.startswith("trunk.")}
    before = copy.deepcopy(model.state_dict())
    found = measured(model, sizes, seed=900)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    for i, task in enumerate(TASKS):
        for j, other in enumerate(TASKS):
            assert found["lookahead"][i][j] == pytest.approx(brute_force(model, sizes, task, other, 900, 900), abs=1e-5)


def test_a_loss_scale_and_half_the_bits_change_little(trained):
    model, _ = trained
    sizes = {name: RATE for name, _ in model.named_parameters() if name.startswith("trunk.")}
    plain = measured(model, sizes, seed=900)
    scaled = measured(model, sizes, seed=900, loss_scale=2.0**10)
    assert scaled["lookahead"] == plain["lookahead"] and scaled["cosine"] == plain["cosine"]
    half = measured(model, sizes, seed=900, autocast=lambda: torch.autocast("cpu", torch.bfloat16))
    for name, found in (("lookahead", half["lookahead"]), ("cosine", half["cosine"]["trunk"])):
        wanted = np.array(plain[name] if name == "lookahead" else plain[name]["trunk"])
        assert np.abs(np.array(found) - wanted).max() < 0.05 and (np.array(found) != wanted).any()


def test_signs_are_those_of_fresh_batches(trained):
    """Wherever the mean over 40 fresh batches is surely not zero (99.9%), that of 16 measurements has its sign."""
    model, _ = trained
    sizes = {name: RATE / 5 for name, _ in model.named_parameters() if name.startswith("trunk.")}
    mean = np.mean([measured(model, sizes, seed)["lookahead"] for seed in range(500, 516)], axis=0)
    sure = 0
    for i, task in enumerate(TASKS):
        for j, other in enumerate(TASKS):
            drawn = np.array([brute_force(model, sizes, task, other, 600 + n, 700 + n) for n in range(40)])
            half = 3.29 * drawn.std(ddof=1) / np.sqrt(len(drawn))
            if abs(drawn.mean()) > half:
                sure += 1
                assert np.sign(mean[i, j]) == np.sign(drawn.mean()), (task, other)
    assert sure >= 8


def test_cosines_are_those_of_the_gradients(trained):
    model, _ = trained
    sizes = {name: RATE for name, _ in model.named_parameters() if name.startswith("trunk.")}
    found = measured(model, sizes, seed=901)["cosine"]["trunk"]
    gradients = []
    for task in TASKS:
        grads = torch.autograd.grad(loss_of(model, task, batch(901)), list(model.trunk.parameters()))
        gradients.append(torch.cat([gradient.flatten() for gradient in grads]))
    for i, one in enumerate(gradients):
        for j, other in enumerate(gradients):
            assert found[i][j] == pytest.approx(float(torch.cosine_similarity(one, other, dim=0)), abs=1e-4)


def test_the_step_is_the_optimizers_without_momentum(trained):
    model, optimizer = trained
    sizes = step_sizes(model, optimizer, RATE)
    assert set(sizes) == {name for name, _ in model.named_parameters() if name.startswith("trunk.")}
    copied, task = copy.deepcopy(model), "twice"
    stepper = torch.optim.AdamW(copied.parameters(), lr=RATE, betas=(0.0, 0.999), weight_decay=0.0)
    stepper.load_state_dict(optimizer.state_dict())
    for group in stepper.param_groups:
        group |= {"lr": RATE, "betas": (0.0, 0.999), "weight_decay": 0.0}
    loss_of(copied, task, batch(902)).backward()
    stepper.step()
    gradients = torch.autograd.grad(loss_of(model, task, batch(902)), list(model.trunk.parameters()))
    for (name, parameter), gradient in zip(model.trunk.named_parameters(), gradients, strict=True):
        ours = parameter - sizes[f"trunk.{name}"] * gradient
        # Its second moments take this gradient in as well, a thousandth of it.
        assert torch.allclose(ours, copied.trunk.get_parameter(name), atol=0.02), name


def test_clipping_shortens_the_step(trained):
    model, _ = trained
    sizes = {name: RATE for name, _ in model.named_parameters() if name.startswith("trunk.")}
    long, short = (measured(model, sizes, 903, clip)["lookahead"] for clip in (None, 1e-4))
    assert max(abs(value) for row in short for value in row) < 1e-3 < max(abs(value) for row in long for value in row)


@pytest.mark.parametrize("kind", TRUNKS)
def test_every_layer_of_every_trunk_is_a_part_of_its_own(kind):
    config = trunk_config(kind, "tiny")
    with torch.device("meta"):
        trunk = make_trunk(config)
    parts = {part_of(f"trunk.{name}") for name, _ in trunk.named_parameters()}
    assert sum(part[-1].isdigit() for part in parts) == sum(layers for _, layers, *_ in config.streams())
    assert not parts & {"model", "encoder"} and part_of("trunk.scale") == "scale"
