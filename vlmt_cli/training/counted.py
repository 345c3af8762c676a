"""The cost of a run on GPUs of a named kind, from the operations that PyTorch counts on a model without weights.

Nothing is computed: the model is on the ``meta`` device, where tensors have a shape and no numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.clean_command import get_examples
from vlmt_cli.datasets.table import DATASETS, TASKS, VOCABULARIES
from vlmt_cli.runs.recipe import PRETRAINING, Recipe
from vlmt_cli.tasks.config import ANSWERS, ModelConfig
from vlmt_cli.tasks.load import longest_of
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.training.cost import PARAMETER_BYTES, Cost, Seconds, add_up, work_of
from vlmt_cli.training.example_counts import VALIDATED, CountsFrom, count_examples, counted_from
from vlmt_cli.training.gpus import Gpu
from vlmt_cli.training.plan import make_plan
from vlmt_cli.training.start import heads_of
from vlmt_cli.trunks.encoded import encode
from vlmt_cli.trunks.table import trunk_config

SHARES = (0.45, 0.2)
"""Of the published peak, what matrix products reach in a training: at best, and at worst."""
ACTIVATION_BYTES = 3
"""Of a number that the backward pass needs, between bf16 and the float32 that layer norms take."""
UPDATE_BYTES = 34
"""That an update moves for each parameter: AdamW's four reads and three writes, and a copy in bf16."""
LAUNCHES = (5e-6, 20e-6)
"""Seconds in which a CPU starts an operation, at best and at worst: what a GPU waits for with small batches."""
CHECKPOINTED = (
    " training.checkpointing is not counted: activations take a fraction of this, and an update computes layers twice."
)
_SAMPLE = 10_000
_COUNTED = 2


@dataclass(frozen=True)
class Sizes:
    """How much a task has to train on.

    Attributes:
        train, validation: examples.
        tokens: of a text on average, CLS and SEP included.
        source: where these come from.
    """

    train: int
    validation: int
    tokens: int
    source: CountsFrom


@dataclass(frozen=True)
class Counted:
    """What one example takes.

    Attributes:
        forward, backward: multiplications and additions.
        launched: operations that are started in both, whatever the size of the batch; and in the forward pass alone.
        activations: numbers that the backward pass needs.
        images: that are read.
    """

    forward: float
    backward: float
    launched: tuple[int, int]
    activations: float
    images: int


def count_cost(recipe: Recipe, data: Path, gpu: Gpu, devices: int) -> Cost:
    """Estimate what a recipe takes on GPUs of a kind, with the examples in a data folder or, without them, the paper's.

    Raises:
        DataError: there are no examples of a task, and the paper does not say how many there were.
    """
    choices = recipe.training
    sizes = {task: sizes_of(recipe, data, task) for task in recipe.tasks}
    model = model_of(recipe)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    plan = make_plan(recipe, {task: size.train for task, size in sizes.items()})
    most = choices.validation_examples
    steering = {task: min(most or size.validation, size.validation) for task, size in sizes.items()}
    regions = 1 + recipe.features.regions
    counted: dict[str, Counted] = {}
    alike: dict[tuple[Any, ...], Counted] = {}
    for task, size in sizes.items():
        form = (_head(task), DATASETS[task].images, size.tokens)
        if form not in alike:
            alike[form] = count(model, task, size.tokens, regions, recipe)
        counted[task] = alike[form]

    fixed = parameters * UPDATE_BYTES / gpu.bandwidth
    fixed += 2 * (devices - 1) / devices * 4 * parameters / gpu.link
    seconds: dict[str, Seconds] = {}
    activations = read = 0.0
    for task, each in counted.items():
        whole = plan.tasks[task].batch_size
        own = -(-whole // devices)
        bounds = [
            (
                max(own * (each.forward + each.backward) / (gpu.peak * share) + fixed, each.launched[0] * launch),
                max(each.forward / (gpu.peak * share), each.launched[1] * launch / whole),
            )
            for share, launch in zip(SHARES, LAUNCHES, strict=True)
        ]
        seconds[task] = Seconds((bounds[0][0], bounds[1][0]), (bounds[0][1], bounds[1][1]))
        part = -(-own // choices.accumulate)
        features = each.images * regions * model.config.trunk.region_features
        activations = max(activations, part * (each.activations * ACTIVATION_BYTES + 4 * features))
        read = max(read, devices * own * features * 2 / bounds[0][0])
    memory = {
        "weights, gradients and moments": float(parameters * PARAMETER_BYTES),
        "exchange of gradients": float(4 * parameters if devices > 1 else 0),
        "activations": activations,
    }
    assumptions = [
        f"This is an estimate: nothing was run. Operations are PyTorch's count; matrix products run at {SHARES[0]:.0%}"
        f" (least) to {SHARES[1]:.0%} (most) of {gpu.name}'s published dense peak of {gpu.peak / 1e12:.0f} TFLOP/s.",
        f"Beside them an update moves {UPDATE_BYTES} bytes a parameter at {gpu.bandwidth / 1e12:.2f} TB/s, and then"
        f" exchanges gradients at {gpu.link / 1e9:.0f} GB/s; one machine has all GPUs.",
        f"A CPU starts an operation every {LAUNCHES[0] * 1e6:.0f} to {LAUNCHES[1] * 1e6:.0f} microseconds, for which a"
        " GPU with a small share of a batch waits.",
        f"Every image has {recipe.features.regions} regions, given boxes are not counted, and nothing is padded."
        f" Features are read ahead, for which stores must give up to {read / 1e9:.1f} GB/s.",
        f"Activations take {ACTIVATION_BYTES} bytes a number, of the task that needs most."
        + (CHECKPOINTED if choices.checkpointing else ""),
        *notes_on(sizes, recipe, data),
    ]
    if (needed := sum(memory.values())) > gpu.memory:
        assumptions.insert(0, _too_large(needed, gpu, choices.checkpointing))
    name = f"{devices} x {gpu.name}" if devices > 1 else gpu.name
    work = work_of(plan, choices, steering, {task: size.source for task, size in sizes.items()})
    return add_up("counted", name, devices, parameters, plan, choices, work, seconds, memory, assumptions)


def _too_large(needed: float, gpu: Gpu, is_checkpointed: bool) -> str:
    """Say that a run needs more memory than a GPU has, and what takes less."""
    ways = ["--set training.accumulate=4", *([] if is_checkpointed else ["--set training.checkpointing=true"])]
    said = f"A device needs {needed / 1e9:.1f} GB, and {gpu.name} has {gpu.memory / 1e9:.0f} GB"
    return f"{said}: {' or '.join(ways)} takes less, as do more GPUs."


def model_of(recipe: Recipe) -> MultiTaskModel:
    """Make the model of a recipe without weights: of the published sizes, where only data would say others."""
    settled = recipe.model.settled()
    trunk = trunk_config(settled.trunk, settled.preset, **recipe.model.changes)
    if recipe.training.dropout is not None:
        trunk = trunk.with_dropout(recipe.training.dropout)
    heads = heads_of(recipe)
    config = ModelConfig(
        trunk=trunk,
        heads=heads,
        pretraining=recipe.pretrains,
        answers={head: ANSWERS.get(head, max(ANSWERS.values())) for head in heads if head in VOCABULARIES},
        **settled.model_dump(include={"task_token", "entailment_head", "verification_loss"}),
    )
    with torch.device("meta"):
        model = MultiTaskModel(config)
    model.trunk.packed = False  # all places are real
    return model.train()


def count(model: MultiTaskModel, task: str, tokens: int, regions: int, recipe: Recipe) -> Counted:
    """Count the operations of a task's example, and the numbers that its backward pass needs."""
    texts, images, pairs = _shape(task)
    config = model.config.trunk
    tokens = min(tokens, config.positions)
    has_token = bool(config.task_tokens) and model.config.task_token != "none" and task != PRETRAINING
    with torch.device("meta"):
        token_mask = torch.ones(_COUNTED * texts, tokens, dtype=torch.bool)
        region_mask = torch.ones(_COUNTED * images, regions, dtype=torch.bool)
        inputs: tuple[Any, ...] = (
            token_mask.long(),
            token_mask,
            torch.empty(_COUNTED * images, regions, config.region_features),
            torch.empty(_COUNTED * images, regions, 5),
            region_mask,
            torch.ones(_COUNTED * texts, dtype=torch.long) if has_token else None,
        )
        together = None
        if pairs > 1:
            together = (torch.zeros(_COUNTED * pairs, dtype=torch.long),) * 2
        kept, started, restarted = _Kept(model), _Started(), _Started()
        with (
            started,
            FlopCounterMode(display=False) as forward,
            torch.autograd.graph.saved_tensors_hooks(kept.keep, kept.give),
        ):
            if task == PRETRAINING:
                output = _pretrained(model, inputs, recipe.masking.share)
            else:
                output = model(_head(task), *inputs, together)
        with restarted, FlopCounterMode(display=False) as backward:
            torch.autograd.backward(output.sum())
    model.zero_grad(set_to_none=True)
    there, back = (counter.get_total_flops() / _COUNTED for counter in (forward, backward))
    launched = (started.count + restarted.count, started.count)
    return Counted(there, back, launched, kept.numbers / _COUNTED, images)


def _shape(task: str) -> tuple[int, int, int]:
    """Return the texts, images and pairs of an example: retrieval has four options (section 3.2), NLVR2 two images."""
    if _head(task) == "retrieval":
        return 3, 2, 4
    images = DATASETS[task].images
    return 1, images, images


def _head(task: str) -> str:
    return TASKS[task].head if task in TASKS else ""


def _pretrained(model: MultiTaskModel, inputs: tuple[Any, ...], share: float) -> Tensor:
    """Return what the pre-training heads make of the masked share of words and regions."""
    encoded = encode(model.trunk, *inputs)
    heads = model.pretraining
    assert heads is not None and encoded.text is not None and encoded.vision is not None
    words, regions = (states[: max(1, round(share * len(states)))] for states in (encoded.text, encoded.vision))
    alignment = heads.alignment(model.trunk.fuse(encoded))
    outputs = (heads.words(words, model.trunk), heads.regions(regions), alignment)
    return torch.stack([output.sum() for output in outputs])


class _Started(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations that run in it, but for those that only look at a tensor in another way."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


class _Kept:
    """Counts the numbers that autograd keeps, each once, and no weights."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.seen: dict[int, Any] = {parameter.untyped_storage()._cdata: None for parameter in model.parameters()}
        self.numbers = 0

    def keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.seen:
            self.seen[storage._cdata] = storage  # kept, so that no other gets its address
            self.numbers += storage.nbytes() // 4  # a truth value is a quarter of a number
        return tensor

    def give(self, tensor: Tensor) -> Tensor:
        return tensor


def sizes_of(recipe: Recipe, data: Path, task: str) -> Sizes:
    """Count a task's examples, in the data folder or else in the paper; errors are ``count_examples``'s."""
    counts, longest, limit = count_examples(data, task, recipe.split), longest_of(task), recipe.training.limit
    tokens = longest
    if counts.source == "data":
        table = data / "examples" / task / "train.parquet"
        try:
            tokens = _mean_tokens(table, longest)
        except (OSError, pa.ArrowException, KeyError) as error:
            what = f"is damaged ({str(error).splitlines()[0][:160]})"
            raise DataError(what, where=table, todo=get_examples(data, task)) from error
    train, validation = (min(count, limit or count) for count in (counts.train, counts.validation))
    return Sizes(train, validation, tokens, counts.source)


def notes_on(sizes: Mapping[str, Sizes], recipe: Recipe, data: Path) -> list[str]:
    """Say where the numbers of examples come from, and what that means for validation and for texts."""
    sources = {task: size.source for task, size in sizes.items()}
    notes = counted_from(sources, data, recipe.split)
    if "data" in sources.values():
        notes[0] += " A text has as many tokens as words and signs, on average."
    if "paper" in sources.values():
        notes[-1] += f" Validation has {VALIDATED:.0%} of them, and every text is as long as texts may be."
    return notes


def _mean_tokens(table: Path, longest: int) -> int:
    """Return the mean length of some texts as a tokenizer of words cuts them, CLS and SEP included."""
    batch = next(pq.ParquetFile(table).iter_batches(_SAMPLE, columns=["text"]))
    counts = pc.count_substring_regex(batch.column(0), r"\w+|[^\w\s]")
    lengths = pc.min_element_wise(pc.add(counts, 2), longest)
    return max(2, round(float(pc.mean(lengths).as_py())))
