"""What ``model.py`` times: one batch, computed the textbook way and ours, with or without each of our measures."""

from dataclasses import dataclass
from typing import NamedTuple

import textbook
import torch
import torch.nn.functional as F
from model_operations import Lengths, Shape, padded, step_operations
from torch import Tensor, nn

from vlmt_cli.tasks.config import HEADS, ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.tasks.vqa import head as vqa
from vlmt_cli.trunks.authors import UNREAD, from_authors
from vlmt_cli.trunks.authors_config import config_to_authors
from vlmt_cli.trunks.config import make_config
from vlmt_cli.trunks.vilbert import compile_layers

CONFIG = ModelConfig(trunk=make_config("base"), entailment_head="linear", pretraining=True)
TOKENS, REGIONS = (5, 23), (11, 101)  # shortest and longest; regions with IMG, tokens without task token
LEARNING_RATE, WEIGHT_DECAY = 1e-5, 0.01


class Batch(NamedTuple):
    """Inputs of both models and VQA targets, padded."""

    tokens: Tensor
    token_mask: Tensor
    features: Tensor
    boxes: Tensor
    region_mask: Tensor
    task: Tensor
    target: Tensor

    def lengths(self) -> tuple[Tensor, Tensor]:
        """Real rows of text, task token included, and of regions, IMG included; (B,) each."""
        return self.token_mask.sum(1) + 1, self.region_mask.sum(1)

    def take(self, index: Tensor) -> "Batch":
        return Batch(*(x[index] for x in self))

    def rows(self) -> tuple[int, int]:
        """Real rows of the whole batch."""
        text, image = (int(real.sum()) for real in self.lengths())
        return text, image

    def trim(self, multiple: int) -> "Batch":
        """Pad to the batch's longest only, rounded up; the task token counts as a place."""
        text, image = (-(-int(real.max()) // multiple) * multiple for real in self.lengths())
        tokens, token_mask = (fit(x, text - 1) for x in self[:2])
        features, boxes, region_mask = (fit(x, image) for x in self[2:5])
        return Batch(tokens, token_mask, features, boxes, region_mask, self.task, self.target)


def fit(x: Tensor, length: int) -> Tensor:
    """Pad or cut (B, L) or (B, L, D) to ``length`` places."""
    return F.pad(x, [0, 0] * (x.dim() - 2) + [0, length - x.shape[1]])


def draw(examples: int, device: str) -> Batch:
    """Draw examples of lengths as real ones have them, padded to the longest that there may be."""
    rng = torch.Generator().manual_seed(0)
    token_mask, region_mask = (
        torch.arange(longest) < torch.randint(shortest, longest + 1, (examples, 1), generator=rng)
        for shortest, longest in (TOKENS, REGIONS)
    )
    tokens = torch.randint(1000, CONFIG.trunk.vocabulary, token_mask.shape, generator=rng) * token_mask
    features = torch.rand(*region_mask.shape, CONFIG.trunk.region_features, generator=rng) * region_mask[:, :, None]
    boxes = torch.rand(*region_mask.shape, 5, generator=rng) * region_mask[:, :, None]
    target = torch.zeros(examples, CONFIG.answers["vqa"])
    target.scatter_(1, torch.randint(target.shape[1], (examples, 3), generator=rng), 0.6)
    batch = (tokens, token_mask, features, boxes, region_mask, torch.ones(examples, dtype=torch.long), target)
    return Batch(*(x.to(device) for x in batch))


@dataclass(frozen=True)
class Form:
    """A way to compute a step: by which model, on which padding, and what of it.

    Attributes:
        textbook: by the textbook model, whose other attributes here only say what it computes.
        trimmed: whether a batch is padded to its own longest, instead of the longest there may be.
        bucketed: whether batches are of like lengths.
        packed: whether padding is left out of all but attention.
        pooled_only: whether the last layers compute only the rows that are pooled.
        every_head: whether heads run that no loss reads.
        dtype: of autocast; float32 is none.
        tf32: whether a GPU may round float32 products.
        compiled: whether the trunk's layers are, as a recipe's training.compile has them.
    """

    textbook: bool = False
    trimmed: bool = True
    bucketed: bool = False
    packed: bool = True
    pooled_only: bool = True
    every_head: bool = False
    dtype: torch.dtype = torch.float32
    tf32: bool = False
    compiled: bool = False

    def batches(self, pool: Batch, size: int) -> list[Batch]:
        """Cut a pool into batches, in order or by length."""
        text, image = pool.lengths()
        order = torch.argsort(image * 100 + text) if self.bucketed else torch.arange(len(image), device=image.device)
        batches = [pool.take(index) for index in torch.split(order, size)]
        return [batch.trim(8 if batch.tokens.is_cuda else 1) for batch in batches] if self.trimmed else batches

    def operations(self, batches: list[Batch]) -> int:
        """Count the operations of a step of each batch."""
        total = 0
        for batch in batches:
            places = (batch.tokens.shape[1] + 1, batch.boxes.shape[1])
            shape = padded(batch.lengths(), places, self.packed)
            total += step_operations(CONFIG, shape, self.pooled_only, "all" if self.every_head else "vqa")
        return total


TEXTBOOK = Form(textbook=True, trimmed=False, packed=False, pooled_only=False, every_head=True)
OURS = Form()


def useful_operations(batches: list[Batch]) -> int:
    """Count the operations of a step of each batch that its loss cannot do without."""
    shapes = [Shape(*(Lengths(real, real) for real in batch.lengths())) for batch in batches]
    return sum(step_operations(CONFIG, shape, True, "vqa") for shape in shapes)


class Models:
    """Both models with the same weights, and the same AdamW for each, ours fused."""

    def __init__(self, device: str, compiled: bool = False) -> None:
        self.device = device
        self.textbook = textbook.TextbookViLBERT(config_to_authors(CONFIG.trunk))
        textbook.randomise(self.textbook, 0)  # larger weights than initial ones, so that the loss depends on all
        self.ours = MultiTaskModel(CONFIG)
        state, missing, left = from_authors(self.ours.state_dict(), self.textbook.state_dict())
        assert not missing and all(UNREAD.fullmatch(name) for name in left)
        self.ours.load_state_dict(state)
        self.textbook.to(device)
        self.ours.to(device)
        if compiled:
            compile_layers(self.ours.trunk)  # and no form but the compiled one uses it
        self.optimizers = {True: adamw(self.textbook, fused=None), False: adamw(self.ours, fused=True)}

    def train(self, mode: bool) -> None:
        self.textbook.train(mode)
        self.ours.train(mode)

    def zero_grad(self) -> None:
        self.textbook.zero_grad()
        self.ours.zero_grad()

    def loss(self, form: Form, batch: Batch) -> Tensor:
        torch.set_float32_matmul_precision("high" if form.tf32 else "highest")
        with torch.autocast(self.device, torch.bfloat16, enabled=form.dtype == torch.bfloat16):
            if form.textbook:
                return textbook.task_loss("loss_VL_classifier", self.textbook_out(batch), batch.target)
            return vqa.loss(self.answers(form, batch), {"scores": batch.target})

    def textbook_out(self, batch: Batch) -> dict[str, Tensor]:
        segments, *masks = torch.zeros_like(batch.tokens), batch.token_mask.long(), batch.region_mask.long()
        inputs = (batch.tokens, batch.features, batch.boxes, segments, *masks, batch.task[:, None])
        out: dict[str, Tensor] = self.textbook(*inputs)
        return out

    def answers(self, form: Form, batch: Batch) -> Tensor:
        model, inputs = self.ours, batch[:6]
        model.trunk.packed = form.packed
        if form.pooled_only:
            with torch.compiler.set_stance("default" if form.compiled else "force_eager"):
                logits: Tensor = model("vqa", *inputs)
            return logits
        encoded = model.trunk(*inputs)
        if form.every_head and model.pretraining is not None:
            for head in HEADS[1:]:
                model.read(head, encoded)
            model.pretraining.words(encoded.text, model.trunk)
            model.pretraining.regions(encoded.vision)
            model.pretraining.alignment(model.trunk.fuse(encoded))
        return model.read("vqa", encoded)


def adamw(model: nn.Module, fused: bool | None) -> torch.optim.AdamW:
    return torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=fused)
