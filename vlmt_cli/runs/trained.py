"""How far a run had come, and after which of its iterations its weights were taken; which weights a file holds."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from vlmt_cli.base.errors import DataError
from vlmt_cli.runs.best import BEST, VALIDATION, Weights
from vlmt_cli.runs.metrics import METRICS, read_metrics

_LONGEST_HEADER = 4 << 20  # bytes, as in features/tensor_files.py
_CHUNK = 1 << 24  # bytes


class Trained(BaseModel):
    """How far a run had come.

    Attributes:
        iteration: after which the weights were taken.
        saved: the last iteration that the run had saved.
        planned: how many it was to have; None where its metrics do not say.
        finished: whether it had come to its end; a run that stops when it has converged may do so before ``planned``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    iteration: NonNegativeInt
    saved: NonNegativeInt
    planned: NonNegativeInt | None
    finished: bool

    def __str__(self) -> str:
        return f"iteration {self.saved:,}" + (f" of {self.planned:,}" if self.planned else "")


def run_of(source: str | Path) -> Path:
    """Return the run folder of a source: itself, or of the folder of a run's best weights the run around it."""
    folder = Path(source)
    is_best = folder.name == BEST and (folder / VALIDATION).exists() and (folder.parent / METRICS).exists()
    return folder.parent if is_best else folder


def trained_of(source: str | Path, weights: Weights) -> Trained | None:
    """Say how far a run is.

    Args:
        source: a run folder, the folder of its best weights, a file or a hub id.
        weights: those of it that are taken (``best.find_weights``).

    Returns:
        None of weights that came without metrics, or with damaged ones.
    """
    run = run_of(source)
    if not (run / METRICS).exists():
        return None
    with suppress(DataError):
        lines = read_metrics(run)
        planned = [line["iterations"] for line in lines if line["kind"] == "start" and "iterations" in line]
        saved = max((line["iteration"] for line in lines if line["kind"] in ("save", "end")), default=0)
        return Trained(
            iteration=weights.best.iteration if weights.best else saved,
            saved=saved,
            planned=max(planned, default=None),
            finished=any(line["kind"] == "end" for line in lines),
        )
    return None


def file_weights_hash(path: Path) -> str | None:
    """Return what ``tensors.tensors_hash`` says of the weights in a safetensors file, without torch.

    Returns:
        None where the file is not there or not intact, or its numbers are not float32, which loading makes of them.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= _LONGEST_HEADER:
                return None
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            digest = hashlib.sha256()
            for name, tensor in sorted(header.items()):
                if tensor["dtype"] != "F32":
                    return None
                digest.update(f"{name} torch.float32 {tuple(tensor['shape'])}".encode())
                begin, end = tensor["data_offsets"]
                file.seek(8 + length + begin)
                while begin < end:
                    part = file.read(min(_CHUNK, end - begin))
                    if not part:
                        return None
                    digest.update(part)
                    begin += len(part)
            return digest.hexdigest()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
