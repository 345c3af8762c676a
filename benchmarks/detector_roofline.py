"""Photos a second of the paper's detector on GPUs, estimated from counted operations. Nothing is run on a GPU.

    python benchmarks/detector_roofline.py

writes its section of ``benchmarks/RESULTS.md``. The network runs on the ``meta`` device, where tensors have shapes and
no numbers; of each operation PyTorch's count of multiplications and additions and the bytes that it reads and writes
are noted. An operation takes the longer of what both take at a share of a GPU's published peaks (a roofline).
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from results import write_section
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from vlmt_cli.features.vg_x152.backbone import body, objectness, pyramid
from vlmt_cli.features.vg_x152.box_head import describe
from vlmt_cli.features.vg_x152.config import DetectorConfig
from vlmt_cli.features.vg_x152.extractor import AT_ONCE
from vlmt_cli.features.vg_x152.weights import BODY, BOX, Layer, shapes
from vlmt_cli.training.gpus import GPUS

WIDTH, HEIGHT = 1216, 800
"""Of the network's input, padding included: a photo of 640 x 426, the middle of COCO's."""
CASES = {
    "good": {"dense": 0.45, "grouped": 0.10, "memory": 0.8},
    "poor": {"dense": 0.20, "grouped": 0.03, "memory": 0.5},
}
GOAL = 50
KINDS = ("a100", "l40s", "h100", "h200")


@dataclass
class Operation:
    """One operation: of a convolution in groups or not, operations and bytes."""

    grouped: bool
    flops: float
    moved: float


@dataclass
class Recorder(TorchDispatchMode):
    """Notes all operations that run in it."""

    noted: list[Operation] = field(default_factory=list)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.is_view:
            return out
        packet = func._overloadpacket
        flops = flop_registry[packet](*args, **(kwargs or {}), out_val=out) if packet in flop_registry else 0
        tensors = [one for one in tree_leaves((args, kwargs, out)) if isinstance(one, torch.Tensor)]
        grouped = packet is torch.ops.aten.convolution and args[8] > 1
        self.noted.append(Operation(grouped, float(flops), float(sum(one.nbytes for one in tensors))))
        return out


def record(config: DetectorConfig) -> list[Operation]:
    """Run the network on shapes alone, with as many photos as go together."""
    layers = {
        name.removesuffix(".weight"): Layer(*(torch.empty(size, dtype=torch.bfloat16) for size in (shape, shape[:1])))
        for name, shape in shapes(config).items()
        if name.endswith(".weight") and (len(shape) > 1 or not name.startswith(BODY))
    }
    assert f"{BOX}predictor.cls_score" in layers
    pixels = torch.empty(AT_ONCE, 3, HEIGHT, WIDTH, dtype=torch.bfloat16)
    with Recorder() as recorder:
        maps = pyramid(body(pixels, layers, config), layers)
        objectness(maps, layers)
        for _ in range(AT_ONCE):
            describe(torch.empty(config.proposals, config.pool_size, config.pool_size, config.fpn_width), layers)
    taps = config.proposals * config.pool_size**2 * (2 * config.pool_samples) ** 2 * config.fpn_width * 4
    overlaps = (len(config.anchor_sizes) * config.before_nms**2 + config.proposals**2) * 64
    recorder.noted += [Operation(False, 0, float(taps + overlaps))] * AT_ONCE
    return recorder.noted


def main() -> None:
    config = DetectorConfig()
    with torch.device("meta"):
        operations = record(config)
    flops, grouped, moved = (
        sum(values) / AT_ONCE
        for values in (
            [one.flops for one in operations],
            [one.flops for one in operations if one.grouped],
            [one.moved for one in operations],
        )
    )
    lines = [
        "## The paper's detector on a GPU, estimated",
        "",
        "`python benchmarks/detector_roofline.py`. **An estimate: nothing was run on a GPU.** One photo of"
        f" {WIDTH} x {HEIGHT} with its padding, {AT_ONCE} at once, bf16: {flops / 1e12:.2f} TFLOP by PyTorch's count,"
        f" {grouped / 1e9:.0f} GFLOP of them in grouped convolutions, and {moved / 1e9:.1f} GB read and written if"
        " every operation reads and writes memory. An operation takes the longer of both, at these shares of the"
        " published peaks:"
        + ";".join(
            f" {name}: {shares['dense']:.0%} of dense products, {shares['grouped']:.0%} for grouped convolutions,"
            f" {shares['memory']:.0%} of bandwidth"
            for name, shares in CASES.items()
        )
        + ". RoIAlign's and NMS's bytes are counted from their sizes. Decoding (in other processes), choosing the"
        f" hundred boxes and writing are not in it: they are the CPU's, and must keep up. The goal is {GOAL} photos/s.",
        "",
        f"| GPU | {' | '.join(f'photos/s, {name} shares' for name in CASES)} |",
        f"|---|{'---:|' * len(CASES)}",
    ]
    for kind in KINDS:
        gpu, rates = GPUS[kind], []
        for shares in CASES.values():
            seconds = 0.0
            for one in operations:
                peak = gpu.peak * shares["grouped" if one.grouped else "dense"]
                seconds += max(one.flops / peak, one.moved / (gpu.bandwidth * shares["memory"]))
            rates.append(AT_ONCE / seconds)
        lines.append(f"| {gpu.name} | {' | '.join(f'{rate:.0f}' for rate in rates)} |")
    print(*lines, sep="\n")
    write_section("detector-roofline", lines)


if __name__ == "__main__":
    main()
