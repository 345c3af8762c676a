"""What the makers of GPUs publish about them, for estimates.

Peaks are of dense matrix products in bf16 (V100: fp16), without sparsity, of the SXM form where there is one. They are
what summaries of NVIDIA's data sheets of V100, A100, L40S, H100, H200 and HGX B200 give. No training reaches them.
"""

from dataclasses import dataclass

from vlmt_cli.base.errors import UsageError
from vlmt_cli.base.schema import nearest


@dataclass(frozen=True)
class Gpu:
    """One kind.

    Attributes:
        name: in print.
        peak: operations a second; a multiplication and an addition are two.
        memory: bytes.
        bandwidth: of the memory, bytes a second.
        link: to the other GPUs of a machine, bytes a second each way.
    """

    name: str
    peak: float
    memory: float
    bandwidth: float
    link: float


GPUS = {
    "v100": Gpu("V100 32 GB", 125e12, 32e9, 0.9e12, 150e9),
    "a100": Gpu("A100 80 GB", 312e12, 80e9, 2.039e12, 300e9),
    "l40s": Gpu("L40S", 362e12, 48e9, 0.864e12, 32e9),
    "h100": Gpu("H100", 989e12, 80e9, 3.35e12, 450e9),
    "h200": Gpu("H200", 989e12, 141e9, 4.8e12, 450e9),
    "b200": Gpu("B200", 2250e12, 180e9, 8e12, 900e9),
}


def gpu_of(kind: str) -> Gpu:
    """Return a kind of GPU by its name; raises a UsageError where it is not in the table."""
    if kind.lower() not in GPUS:
        raise UsageError(f"there is no published peak of {kind!r} here", todo=nearest(kind.lower(), GPUS))
    return GPUS[kind.lower()]
