"""Our model against the textbook ViLBERT: a training step, what each measure is worth, retrieval scoring.

    python benchmarks/model.py                      all four on the CPU, noted in RESULTS.md
    python benchmarks/model.py --part retrieval     one of them
    python benchmarks/model.py --device cuda --batch 256 --dtype float32,bfloat16 --compile

Both models hold the same weights and take the same examples, of lengths as real ones have them: 10 to 100 regions and
IMG, 5 to 23 tokens, uniform. The textbook form pads to the longest there may be, as the authors' loader does. Equal
losses and scores are checked in the same run. What is compared takes turns, batch by batch, after a warm-up, with
dropout on; a time is the best of the rounds for each batch, and the median of the rounds stands beside it.
"""

import argparse
import copy
import functools
import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from model_forms import CONFIG, OURS, REGIONS, TEXTBOOK, TOKENS, Batch, Form, Models, adamw, draw, useful_operations
from model_operations import check, step_bytes
from model_report import clock, has_bf16, machine_lines, row, table, write_part
from model_retrieval import Sizes, retrieval_lines

from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.tasks.vqa import head as vqa
from vlmt_cli.trunks.vilbert import checkpoint_layers

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}  # of losses, relative
PHASES = ("forward and loss", "backward", "AdamW")
GIGA = 1e9


def main() -> None:
    options = parse_options()
    check(CONFIG)
    if options.write:
        write_part(f"machine-{options.device}", machine_lines(options.device))
    for name, part in PARTS.items():
        if options.part in (name, "all"):
            lines = part(options)
            print("\n".join(lines), flush=True)
            if options.write:
                write_part(f"{name}-{options.device}", lines)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--part", choices=[*PARTS, "all"], default="all")
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--batch", type=int, default=16, help="examples a training step")
    add("--batches", type=int, default=3, help="different batches, which are what bucketing sorts")
    add("--repeat", type=int, default=2, help="rounds")
    add("--dtype", default="float32,bfloat16", help="what ours is measured in beside float32")
    add("--compile", action="store_true", help="measure the fastest of ours compiled too")
    add("--captions", type=int, default=24)
    add("--images", type=int, default=24)
    add("--sample", type=int, default=48, help="pairs that are scored from scratch")
    add("--write", action=argparse.BooleanOptionalAction, default=True, help="note the results in RESULTS.md")
    return parser.parse_args()


# Timing


def step(models: Models, form: Form, batch: Batch) -> list[tuple[float, float]]:
    """Take a training step: wall and CPU time of each of ``PHASES``."""
    optimizer = models.optimizers[form.textbook]
    optimizer.zero_grad()
    loss, forward = clock(models.device, lambda: models.loss(form, batch))
    return [forward, clock(models.device, loss.backward)[1], clock(models.device, optimizer.step)[1]]


def forward(models: Models, form: Form, batch: Batch) -> list[tuple[float, float]]:
    """Run a forward pass without gradients: its wall and CPU time."""
    with torch.inference_mode():
        return [clock(models.device, lambda: models.loss(form, batch))[1]]


class Timed:
    """Times of forms that took turns, (rounds, batches, phases, wall and CPU time) of each."""

    def __init__(
        self,
        run: Callable[[Models, Form, Batch], list[tuple[float, float]]],
        models: Models,
        forms: dict[str, Form],
        pool: Batch,
        options: argparse.Namespace,
    ) -> None:
        self.forms = forms
        self.batches = {name: form.batches(pool, options.batch) for name, form in forms.items()}
        for name, form in forms.items():
            for batch in self.batches[name] if form.compiled else self.batches[name][-1:]:
                run(models, form, batch)
        times: dict[str, list[list[list[tuple[float, float]]]]] = {name: [] for name in forms}
        for _ in range(options.repeat):
            for name in forms:
                times[name].append([])
            for number in range(options.batches):
                for name, form in forms.items():
                    times[name][-1].append(run(models, form, self.batches[name][number]))
        self.times = {name: np.array(each) for name, each in times.items()}

    def seconds(self, name: str) -> tuple[float, float, float]:
        """Seconds for all batches: wall time at best, wall time at the median, CPU time at best."""
        wall, cpu = self.times[name].sum(2).transpose(2, 0, 1)
        return float(wall.min(0).sum()), float(np.median(wall, 0).sum()), float(cpu.min(0).sum())

    def phases(self, name: str) -> list[float]:
        """Seconds a batch of each phase, at best."""
        each: list[float] = self.times[name][..., 0].min(0).mean(0).tolist()
        return each

    def lines(self) -> list[str]:
        """A table of examples per second, beside those of the first form."""
        lines = table(
            "", "examples/s, best", "ratio", "examples/s, median", "ratio", "CPU s per example", "ratio",
            "GFLOP per example", "useful", "GFLOP/s",
        )  # fmt: skip
        first = self.seconds(next(iter(self.forms)))
        for name, form in self.forms.items():
            best, median, cpu = self.seconds(name)
            examples = sum(len(batch.task) for batch in self.batches[name])
            operations, useful = form.operations(self.batches[name]), useful_operations(self.batches[name])
            lines += row(
                name, f"{examples / best:.2f}", f"**{first[0] / best:.2f}**", f"{examples / median:.2f}",
                f"{first[1] / median:.2f}", f"{cpu / examples:.3f}", f"{first[2] / cpu:.2f}",
                f"{operations / examples / GIGA:.1f}", f"{useful / operations:.0%}", f"{operations / best / GIGA:,.0f}",
            )  # fmt: skip
        return lines


# The parts


def step_part(options: argparse.Namespace) -> list[str]:
    """A training step and a forward pass, the textbook's and ours."""
    on_gpu, bf16 = options.device == "cuda", "bfloat16" in options.dtype
    forms = {"textbook": TEXTBOOK, "ours": replace(OURS, packed=not on_gpu, bucketed=on_gpu)}
    if on_gpu:
        forms |= {f"{name}, TF32": replace(form, tf32=True) for name, form in forms.items()}
    if bf16 and (on_gpu or has_bf16()):
        forms["ours, bf16"] = replace(forms["ours"], dtype=torch.bfloat16)
    if options.compile:
        last = [*forms][-1]
        forms[f"{last}, compiled"] = replace(forms[last], compiled=True, packed=False, bucketed=True)
    models, pool = Models(options.device, options.compile), draw(options.batch * options.batches, options.device)
    losses = loss_lines(models, forms, pool.take(torch.arange(min(16, options.batch), device=pool.task.device)))
    models.train(True)
    timed, alone = (Timed(run, models, forms, pool, options) for run in (step, forward))
    lines = [f"### Training step on the {options.device.upper()}", "", settings(options), "", *timed.lines()]
    if bf16 and not (on_gpu or has_bf16()):
        lines += row("ours, bf16", "not measured: this processor has no bf16 instructions", *[""] * 8)
    lines += ["", *table("seconds per batch", *PHASES, "forward without gradients", "ratio")]
    for name in forms:
        seconds = [*timed.phases(name), *alone.phases(name)]
        ratio = alone.seconds("textbook")[0] / alone.seconds(name)[0]
        lines += row(name, *(f"{each:.3f}" for each in seconds), f"{ratio:.2f}")
    lines += ["", "Loss before and after a step, without dropout:", "", *losses]
    return lines + (["", *ceiling_lines(models, timed)] if on_gpu else [])


def loss_lines(models: Models, forms: dict[str, Form], batch: Batch) -> list[str]:
    """Compare losses without dropout, before and after a float32 step of each model, to ``TOLERANCE``."""
    models.train(False)
    losses: dict[str, list[float]] = {name: [] for name in forms}
    for after in (False, True):
        if after:
            for form in (TEXTBOOK, OURS):
                torch.autograd.backward(models.loss(form, form.batches(batch, len(batch.task))[0]))
                models.optimizers[form.textbook].step()
            models.zero_grad()
        for name, form in forms.items():
            with torch.no_grad():
                losses[name].append(models.loss(form, form.batches(batch, len(batch.task))[0]).item())
    lines = table("", "loss before", "loss after", "relative difference", "tolerance")
    for name, form in forms.items():
        apart = max(abs(ours / theirs - 1) for ours, theirs in zip(losses[name], losses["textbook"], strict=True))
        tolerance = TOLERANCE[torch.bfloat16 if form.tf32 else form.dtype]
        assert apart <= tolerance, f"{name}: its loss is {apart:.1e} from the textbook's, more than {tolerance:.0e}"
        lines += row(name, *(f"{loss:.4f}" for loss in losses[name]), f"{apart:.1e}", f"{tolerance:.0e}")
    return lines


def ceiling_lines(models: Models, timed: Timed) -> list[str]:
    """What the card could reach, and how much of it each form does, counting useful operations only."""
    matrix, bandwidth = matrix_rate(), copy_rate()
    read = sum(p.numel() for p in models.ours.parameters() if p.grad is not None)
    lines = [
        f"The card multiplies bf16 matrices at {matrix / 1e12:,.0f} TFLOP/s (8192 x 8192) and moves"
        f" {bandwidth / GIGA:,.0f} GB/s (a copy). The lowest times a batch that these allow for the useful operations,"
        " and for the bytes that matrix products and AdamW move at the least:",
        "",
        *table("", "s a batch", "at the matrix rate", "at the bandwidth", "of the matrix rate reached, useful"),
    ]
    for name, form in timed.forms.items():
        batches = timed.batches[name]
        useful = useful_operations(batches) / len(batches)
        size = 2 if form.dtype == torch.bfloat16 else 4
        moved = sum(step_bytes(CONFIG, read, *batch.rows(), size) for batch in batches) / len(batches)
        taken = timed.seconds(name)[0] / len(batches)
        shares = (f"{useful / matrix:.4f}", f"{moved / bandwidth:.4f}", f"{useful / taken / matrix:.0%}")
        lines += row(name, f"{taken:.4f}", *shares)
    return lines


def matrix_rate(size: int = 8192, times: int = 20) -> float:
    """Measure bf16 operations per second of a large matrix product on the GPU."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    best = min(clock("cuda", lambda: [a @ b for _ in range(times)])[1][0] for _ in range(5))
    return 2 * size**3 * times / best


def copy_rate(size: int = 1 << 30, times: int = 20) -> float:
    """Measure bytes per second that a copy within the GPU's memory reads and writes."""
    a, b = (torch.empty(size, device="cuda", dtype=torch.uint8) for _ in range(2))
    best = min(clock("cuda", lambda: [b.copy_(a) for _ in range(times)])[1][0] for _ in range(5))
    return 2 * size * times / best


def measures_part(options: argparse.Namespace) -> list[str]:
    """A training step of ours with and without each measure."""
    forms = {
        "ours: packed, one head, pooled rows only": OURS,
        "packed, bucketed": replace(OURS, bucketed=True),
        "not packed, bucketed": replace(OURS, packed=False, bucketed=True),
        "not packed": replace(OURS, packed=False),
        "not packed, padded to the longest of all": replace(OURS, packed=False, trimmed=False),
        "all rows of the last layers": replace(OURS, pooled_only=False),
        "all rows of the last layers, every head": replace(OURS, pooled_only=False, every_head=True),
    }
    models, pool = Models(options.device), draw(options.batch * options.batches, options.device)
    timed = Timed(step, models, forms, pool, options)
    lines = [f"### What each optimisation is worth on the {options.device.upper()}", "", settings(options), ""]
    lines += timed.lines()
    plain = adamw(models.ours, fused=None)
    fused, slow = (
        min(clock(options.device, o.step)[1][0] for _ in range(4)) for o in (models.optimizers[False], plain)
    )
    whole = timed.seconds(next(iter(forms)))[0] / options.batches
    lines += [
        "",
        f"AdamW takes {fused:.3f} s fused and {slow:.3f} s by default: {1 + (slow - fused) / whole:.2f} times.",
    ]
    many = draw_lengths(64 * options.batch)
    lines += ["", f"Operations of a step, GFLOP per example, over {64 * options.batch:,} examples:", ""]
    lines += table("", "computed", "useful of them")
    for name, form in ({"textbook": TEXTBOOK} | forms).items():
        batches = form.batches(many, options.batch)
        computed = form.operations(batches)
        share = useful_operations(batches) / computed
        lines += row(name, f"{computed / len(many.task) / GIGA:.1f}", f"{share:.0%}")
    return lines


def draw_lengths(examples: int) -> Batch:
    """Draw many examples of which only the lengths matter."""
    rng = torch.Generator().manual_seed(1)
    text, image = (
        torch.arange(longest) < torch.randint(shortest, longest + 1, (examples, 1), generator=rng)
        for shortest, longest in (TOKENS, REGIONS)
    )
    return Batch(text.long(), text, image[..., None], image, image, torch.ones(examples), torch.ones(examples))


def retrieval_part(options: argparse.Namespace) -> list[str]:
    """Every caption against every image."""
    sizes = Sizes(options.captions, options.images, options.sample, options.repeat)
    return [f"### Retrieval scoring on the {options.device.upper()}", "", *retrieval_lines(options.device, sizes)]


def checkpointing_part(options: argparse.Namespace) -> list[str]:
    """A forward and backward pass with and without ``training.checkpointing``, and what it keeps in between."""
    plain = MultiTaskModel(CONFIG).to(options.device)
    models = {"layers keep their activations": plain, "training.checkpointing": copy.deepcopy(plain)}
    checkpoint_layers(models["training.checkpointing"].trunk)
    pool = draw(options.batch * options.batches, options.device)
    batches = OURS.batches(pool, options.batch)
    times: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in models}
    kept: dict[str, int] = {}
    for _ in range(options.repeat):
        for each in times.values():
            each.append([])
        for batch in batches:
            for name, model in models.items():
                call = functools.partial(both_ways, model, batch)
                (_, kept[name]), seconds = clock(options.device, call)
                times[name][-1].append(seconds)
    said = " ".join([*machine_lines(options.device), settings(options).partition(" Useful:")[0]])
    said += " Kept: from the forward to the backward pass, beside the weights."
    lines = [f"### Checkpointed layers on the {options.device.upper()}", "", said, ""]
    lines += table("", "MB kept an example", "ratio", "s an example, best", "ratio", "CPU s an example", "ratio")
    first: list[float] = []
    for name, each in times.items():
        seconds = np.array(each).min(0).sum(0) / len(pool.task)
        values = [kept[name] / options.batch / 1e6, *seconds.tolist()]
        first = first or values
        cells = (f"{value:.3f} | {value / one:.2f}" for value, one in zip(values, first, strict=True))
        lines += row(name, *cells)
    return lines


def both_ways(model: MultiTaskModel, batch: Batch) -> tuple[float, int]:
    """Go forward and back: the loss, and the bytes that the forward pass keeps beside the weights."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = vqa.loss(model("vqa", *batch[:6]), {"scores": batch.target})
    torch.autograd.backward(loss)
    model.zero_grad()
    return loss.item(), sum(kept.values())


PARTS = {
    "step": step_part,
    "measures": measures_part,
    "retrieval": retrieval_part,
    "checkpointing": checkpointing_part,
}


def settings(options: argparse.Namespace) -> str:
    return (
        f"{options.batches} batches of {options.batch}, {options.repeat} rounds, load average"
        f" {os.getloadavg()[0]:.1f}. Ratio: to the first line. Useful: the share of the operations that the loss"
        " depends on."
    )


if __name__ == "__main__":
    main()
