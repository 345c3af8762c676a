"""Every caption against every image: ``score_matrix`` beside scoring each pair from scratch."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from model_forms import CONFIG, OURS, REGIONS, TEXTBOOK, TOKENS, Batch, Models, draw
from model_operations import padded, parts
from model_report import clock, row, table
from torch import Tensor

from vlmt_cli.tasks.retrieval.matrix import score_matrix

TOLERANCE = 1e-4  # of scores, by their standard deviation
BUCKET = 8  # captions, or images, of like lengths that score_matrix takes together
AT_ONCE = 16  # pairs that are scored from scratch together
TEXT_ONCE = ("alone", "project_text")
IMAGE_ONCE = ("embed", "embed_box", "project_vision")


@dataclass(frozen=True)
class Sizes:
    """How many captions and images, how many of their pairs are scored from scratch, and how often."""

    captions: int
    images: int
    sample: int
    rounds: int


@torch.inference_mode()
def retrieval_lines(device: str, sizes: Sizes) -> list[str]:
    """Measure both, and check that the scores are the same."""
    models, pool = Models(device), draw(max(sizes.captions, sizes.images), device)
    models.train(False)
    text_lengths, image_lengths = pool.lengths()
    by_text = torch.argsort(text_lengths[: sizes.captions])
    by_image = torch.argsort(image_lengths[: sizes.images])
    pairs = sizes.captions * sizes.images
    sample = torch.randperm(pairs, generator=torch.Generator().manual_seed(0))[: sizes.sample].to(device)
    which = (sample // sizes.images, sample % sizes.images)

    def from_scratch(score: Callable[[Batch], Tensor]) -> Tensor:
        scores = []
        for caption, image in zip(*(torch.split(index, AT_ONCE) for index in which), strict=True):
            texts, images = pool.take(caption), pool.take(image)
            scores.append(score(Batch(*texts[:2], *images[2:5], *texts[5:])))
        return torch.cat(scores).squeeze(1)

    def with_padding(batch: Batch) -> Tensor:
        models.ours.trunk.packed = False
        return models.ours.read("retrieval", models.ours.trunk(*batch[:6]))

    def matrix() -> Tensor:
        models.ours.trunk.packed = None
        texts = [(batch.tokens, batch.token_mask, batch.task) for batch in buckets(pool, by_text)]
        images = [(batch.features, batch.boxes, batch.region_mask) for batch in buckets(pool, by_image)]
        scores = score_matrix(models.ours.trunk, models.ours.heads["retrieval"], texts, images)
        return scores[torch.argsort(by_text)][:, torch.argsort(by_image)]

    calls: dict[str, tuple[int, Callable[[], Tensor]]] = {
        "textbook, each pair": (len(sample), lambda: from_scratch(lambda b: models.textbook_out(b)["vil_logit"])),
        "our layers, each pair, padded": (len(sample), lambda: from_scratch(with_padding)),
        "`score_matrix`": (pairs, matrix),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    scores: dict[str, Tensor] = {}
    for form in (TEXTBOOK, OURS):  # so that the first round is not the slow one
        models.loss(form, pool)
    for _ in range(sizes.rounds):
        for name, (_, call) in calls.items():
            scores[name], took = clock(device, call)
            times[name].append(took)
    scores["`score_matrix`"] = scores["`score_matrix`"][which]
    expected = scores["textbook, each pair"]
    lines = [
        f"{sizes.captions} captions against {sizes.images} images, float32, {sizes.rounds} rounds. From scratch a"
        f" random {len(sample)} of the {pairs} pairs are scored, {AT_ONCE} at once, all padded to {TOKENS[1]} tokens"
        f" and {REGIONS[1]} regions, so that all cost the same. Apart: the largest difference from the textbook's"
        f" scores, by their standard deviation (at most {TOLERANCE:.0e}).",
        "",
        *table("", "pairs/s, best", "ratio", "pairs/s, median", "ratio", "CPU s per pair", "ratio", "apart"),
    ]
    first = None
    for name, (count, _) in calls.items():
        wall, cpu = np.array(times[name]).T
        a_pair = np.array([wall.min(), np.median(wall), cpu.min()]) / count
        first = a_pair if first is None else first
        apart = float((scores[name] - expected).abs().max() / expected.std())
        assert apart <= TOLERANCE, f"{name}: a score is {apart:.1e} from the textbook's"
        best, median, busy = first / a_pair
        rates = (f"{1 / a_pair[0]:.2f}", f"**{best:.2f}**", f"{1 / a_pair[1]:.2f}", f"{median:.2f}")
        lines += row(name, *rates, f"{a_pair[2]:.3f}", f"{busy:.2f}", f"{apart:.0e}")
    return [*lines, "", *saved_lines(text_lengths[by_text].cpu(), image_lengths[by_image].cpu(), device == "cpu")]


def buckets(pool: Batch, order: Tensor) -> list[Batch]:
    return [pool.take(index).trim(8 if order.is_cuda else 1) for index in torch.split(order, BUCKET)]


def saved_lines(text: Tensor, image: Tensor, packed: bool) -> list[str]:
    """What ``score_matrix`` saves of the textbook's operations: each measure after those above it.

    Args:
        text, image: lengths, sorted.
        packed: whether padding is left out of all but attention.
    """
    pairs = len(text) * len(image)
    longest = (TOKENS[1] + 1, REGIONS[1])
    full = padded([torch.full((pairs,), places) for places in longest], longest, packed=False)
    scratch = parts(CONFIG, full, pooled_only=False, heads="all")
    lean = parts(CONFIG, full, pooled_only=True, heads="retrieval")
    repeats = {"text": 1 - 1 / len(image), "image": 1 - 1 / len(text)}  # shares that are the same for other pairs
    saved = {
        "unused heads": scratch["heads"] - lean["heads"],
        "unused positions of the last layers": scratch["joint"] - lean["joint"],
        "text layers before the first co-attention, once per caption": lean["alone"] * repeats["text"],
        "region embedding, once per image": (lean["embed"] + lean["embed_box"]) * repeats["image"],
        "the first projections, once per caption and image": lean["project_text"] * repeats["text"]
        + lean["project_vision"] * repeats["image"],
    }
    computed = sum(once(tile, TEXT_ONCE, packed) for tile in torch.split(text, BUCKET))
    computed += sum(once(tile, IMAGE_ONCE, packed) for tile in torch.split(image, BUCKET))
    for captions in torch.split(text, BUCKET):
        for images in torch.split(image, BUCKET):
            real = (captions.repeat_interleave(len(images)), images.repeat(len(captions)))
            count = parts(CONFIG, padded(real, [int(each.max()) for each in real], packed), True, "retrieval")
            computed += count["joint"] + count["heads"]
    saved["padding"] = scratch.total() - sum(saved.values()) - computed
    lines = table(f"of the textbook's {scratch.total() / pairs / 1e9:.1f} GFLOP per pair", "share")
    for name, operations in (saved | {"remaining": computed}).items():
        lines += row(name, f"{operations / scratch.total():.1%}")
    return lines


def once(lengths: Tensor, names: tuple[str, ...], packed: bool) -> int:
    """Count what one bucket costs in the parts that a stream computes alone."""
    shape = padded([lengths] * 2, [int(lengths.max())] * 2, packed)  # of the two only one is read
    count = parts(CONFIG, shape, pooled_only=True, heads="retrieval")
    return sum(count[name] for name in names)
