"""How many operations a ViLBERT needs, counted from its sizes: a multiplication and an addition are two.

Matrix products only, which is what ``FlopCounterMode`` of PyTorch counts too: ``check`` compares the two on the
textbook form. Useful operations are those on real rows of which a head reads the outcome; what else is computed is
padding, rows that nothing reads, and heads that nothing reads.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
from textbook import TextbookViLBERT
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.trunks.authors_config import config_to_authors
from vlmt_cli.trunks.config import StreamConfig, ViLBERTConfig

BACKWARD = 2  # products a product needs in the backward pass: one for its input, one for its weights


class Lengths(NamedTuple):
    """Of a stream's sequences, (B,): the rows that are computed one by one, and the places that attention meets."""

    rows: Tensor
    places: Tensor


class Shape(NamedTuple):
    """Of a batch; task token and IMG included."""

    text: Lengths
    image: Lengths


def padded(real: Sequence[Tensor], places: Sequence[int], packed: bool) -> Shape:
    """What a batch computes whose text and images, of real lengths, are padded to ``places``.

    Packed, padding takes part in attention alone.
    """
    full = [torch.full_like(lengths, longest) for lengths, longest in zip(real, places, strict=True)]
    rows = real if packed else full
    return Shape(Lengths(rows[0], full[0]), Lengths(rows[1], full[1]))


def parts(model: ModelConfig, shape: Shape, pooled_only: bool, heads: str) -> Counter[str]:
    """Count the operations of a forward pass.

    Args:
        model: sizes, and the authors' entailment head.
        shape: of the batch.
        pooled_only: whether the last layers compute only the rows that are pooled.
        heads: ``all``, pre-training heads included, or the one that runs.

    Returns:
        Operations by part of the model; ``alone`` is text before the first co-attention, ``project_*`` that
        layer's projections.
    """
    config = model.trunk
    text, image = shape
    batch = len(text.rows)
    order = config.order()
    first_co = order.index(("co", 0))
    lengths = {"text": text, "vision": image}
    streams: dict[str, StreamConfig] = {"text": config.text, "vision": config.vision}
    n, m = (int(lengths[stream].rows.sum()) for stream in streams)
    count: Counter[str] = Counter()
    count["embed"] = 2 * m * config.region_features * config.vision.width
    count["embed_box"] = 2 * m * 5 * config.vision.width
    last = {kind: step for step, (kind, _) in enumerate(order)}
    for step, (kind, _) in enumerate(order):
        if kind == "co":
            meetings = int((text.places * image.places).sum())
            count["joint"] += 2 * 2 * 2 * meetings * config.co_width  # two directions; scores and contexts
            for name, rows in (("text", n), ("vision", m)):
                width = streams[name].width
                count[f"project_{name}" if step == first_co else "joint"] += 2 * rows * width * 3 * config.co_width
                count["joint"] += 2 * rows * width * (config.co_width + 2 * streams[name].feedforward)
        else:
            own, width = lengths[kind], streams[kind].width
            short = pooled_only and step == last[kind] > last["co"]
            queries = batch if short else int(own.rows.sum())
            meetings = int((own.places if short else own.places**2).sum())
            linear = int(own.rows.sum()) * 2 * width + queries * (2 * width + 2 * streams[kind].feedforward)
            count["alone" if step < first_co else "joint"] += 2 * width * linear + 2 * 2 * meetings * width
    count["joint"] += 2 * batch * (config.text.width + config.vision.width) * config.co_width
    each = head_operations(model, batch, n, m)
    count["heads"] = sum(each.values()) if heads == "all" else each[heads]
    return count


def head_operations(model: ModelConfig, batch: int, n: int, m: int) -> dict[str, int]:
    """Operations of every head of the textbook form, for n rows of text (task token included) and m of regions."""
    config = model.trunk
    text, vision, pooled = config.text.width, config.vision.width, config.co_width
    return {
        "vqa": 2 * batch * 2 * pooled * (pooled + model.answers["vqa"]),
        "gqa": 2 * batch * 2 * pooled * (pooled + model.answers["gqa"]),
        "nlvr2": 2 * (batch // 2) * 2 * pooled * (2 * pooled + 2),
        "retrieval": 2 * batch * pooled,
        "snli_ve": 2 * batch * pooled * 3,
        "referring": 2 * m * vision,
        "phrases": 2 * n * text,
        "words": 2 * n * text * (text + config.vocabulary),
        "regions": 2 * m * vision * (vision + config.region_classes),
        "alignment": 2 * batch * pooled * 2,
    }


def step_operations(model: ModelConfig, shape: Shape, pooled_only: bool, heads: str) -> int:
    """Count a training step's operations: nothing needs the features' gradient, and unused heads have no backward."""
    count = parts(model, shape, pooled_only, heads)
    read = parts(model, shape, pooled_only, "vqa")["heads"]
    trunk = count.total() - count["heads"]
    return count["heads"] + trunk + BACKWARD * (trunk + read) - count["embed"] - count["embed_box"]


def step_bytes(model: ModelConfig, parameters: int, n: int, m: int, size: int) -> int:
    """Count the bytes that a step moves at the least, if nothing but matrix products and AdamW touched memory.

    Args:
        model: sizes.
        parameters: how many have a gradient; they and their moments are float32.
        n, m: real rows of text and vision.
        size: bytes of a number in the products.

    Returns:
        Weights read twice, gradients written, AdamW (four reads, three writes); and each product's input and output,
        once forward and twice backward.
    """
    weights = 4 * parameters * (3 + 7)
    config = model.trunk
    values = 0
    for shape, rows, layers in ((config.text, n, config.text.layers), (config.vision, m, config.vision.layers)):
        block = (1 + 3 + 1 + 1) * shape.width + 2 * (shape.width + shape.feedforward)
        co_block = shape.width + 3 * config.co_width + config.co_width + shape.width
        co_block += 2 * (shape.width + shape.feedforward)
        values += rows * (layers * block + len(config.text_placement) * co_block)
    values += m * (config.region_features + config.vision.width)
    return weights + 3 * size * values


def check(model: ModelConfig) -> None:
    """Compare the count with PyTorch's own on the textbook form, where nothing is left out."""
    config: ViLBERTConfig = model.trunk
    batch, tokens, regions = 2, 23, 101
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        masks = [torch.ones(batch, length, dtype=torch.long) for length in (tokens, regions)]
        features = torch.empty(batch, regions, config.region_features)
        boxes = torch.empty(batch, regions, 5)
        task = torch.ones(batch, 1, dtype=torch.long)
        TextbookViLBERT(config_to_authors(config))(masks[0], features, boxes, masks[0], *masks, task)
    places = (tokens + 1, regions)
    shape = padded([torch.full((batch,), longest) for longest in places], places, packed=False)
    ours, theirs = parts(model, shape, False, "all").total(), counter.get_total_flops()
    assert ours == theirs, f"{ours:,} operations were counted, and PyTorch counts {theirs:,}"
