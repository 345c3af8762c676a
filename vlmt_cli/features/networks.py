"""What detectors and backbones of transformers share: loading, their identity, and how photos go through them.

transformers' image processors are asked for with ``backend="pil"``, as torchvision need not be there, and for resized
pixels only; rescaling and normalising are done where the network runs, so that a process that decodes photos hands
over bytes and no floats.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vlmt_cli.base.errors import DataError, VlmtError
from vlmt_cli.base.hub import is_local
from vlmt_cli.base.words import count

Result = TypeVar("Result")


@dataclass(frozen=True)
class Network:
    """A network with its image processor, on a device.

    Attributes:
        name: the last part of its hub id or folder.
        hash: of weights, config and processor, 16 hexadecimal digits.
    """

    name: str
    hash: str
    model: Any
    processor: Any
    device: torch.device


def short_name(source: str) -> str:
    """Return the last part of a hub id or path."""
    return Path(source).name or source


def load_network(kind: str, source: str, device: str, unneeded: tuple[str, ...] = ()) -> Network:
    """Load a network and its image processor.

    Args:
        kind: the auto class of transformers: ``AutoModelForObjectDetection`` or ``AutoModel``.
        source: hub id, or a folder that transformers wrote.
        device: where it runs.
        unneeded: parts, by the beginnings of their names, whose weights may be missing.

    Raises:
        DataError: it cannot be had, is of another kind, or lacks weights.
    """
    import transformers as library
    from transformers.utils import logging as library_logging

    transformers: Any = library
    logging: Any = library_logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    try:
        local = is_local(source, "config.json")
        if local:
            logging.disable_progress_bar()  # for downloads only
        processor = transformers.AutoImageProcessor.from_pretrained(source, backend="pil", local_files_only=local)
        model, loaded = getattr(transformers, kind).from_pretrained(
            source, dtype=torch.float32, output_loading_info=True, local_files_only=local
        )
    except Exception as error:  # transformers, the hub client and safetensors each have their own
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        todo = "give a hub id that can be reached, or a folder with config, preprocessor_config and model.safetensors"
        raise DataError(f"cannot be loaded ({reason})", where=source, todo=todo) from error
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
    if missing := sorted(name for name in loaded["missing_keys"] if not name.startswith(unneeded or ("\0",))):
        raise DataError(f"lacks {count(len(missing), 'tensor')} of weights, such as {missing[0]}", where=source)
    model = model.eval().requires_grad_(False)
    return Network(short_name(source), _hash(model, processor), model.to(device), processor, torch.device(device))


def resized(processor: Any, image: Image.Image, **options: Any) -> NDArray[np.uint8]:
    """Resize an image as its processor wants it, (3, H, W); the values stay bytes."""
    pixels = processor(
        images=image, return_tensors="np", do_rescale=False, do_normalize=False, do_pad=False, **options
    )["pixel_values"][0]
    assert pixels.dtype == np.uint8, pixels.dtype
    return np.ascontiguousarray(pixels)


def run_network(
    network: Network, pixels: Sequence[NDArray[np.uint8]], together: int, run: Callable[[Tensor], list[Result]]
) -> list[Result]:
    """Send photos through a network so that neither their number nor their neighbours change what comes out.

    How many photos go together decides which kernels run, and so the last bits: it is always ``together`` photos of
    one shape, the last one repeated where there are fewer.

    Args:
        network: whose processor says how to rescale and normalise.
        pixels: N arrays of bytes, (3, H, W), from ``resized``.
        together: how many photos at once; 1 costs nothing on a CPU.
        run: called with (together, 3, H, W); returns that many results.

    Returns:
        N results, in the order of the photos.

    Raises:
        VlmtError: the device has too little memory.
    """
    results: dict[int, Result] = {}
    shapes: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(pixels):
        shapes.setdefault(image.shape, []).append(i)
    for group in shapes.values():
        for first in range(0, len(group), together):
            rows = group[first : first + together]
            filled = rows + rows[-1:] * (together - len(rows))
            bytes_B3HW = torch.from_numpy(np.stack([pixels[i] for i in filled])).to(network.device)
            with torch.inference_mode(), exact_kernels(), memory_explained(network.device, network.name, together > 1):
                results.update(zip(rows, run(_normalised(network.processor, bytes_B3HW)), strict=False))
    return [results[i] for i in range(len(pixels))]


def _normalised(processor: Any, bytes_B3HW: Tensor) -> Tensor:
    pixels = bytes_B3HW.float()
    if processor.do_rescale:
        pixels = pixels * processor.rescale_factor
    if processor.do_normalize:
        mean, std = (
            torch.as_tensor(values, dtype=torch.float32, device=pixels.device).view(3, 1, 1)
            for values in (processor.image_mean, processor.image_std)
        )
        pixels = (pixels - mean) / std
    return pixels


def exact_kernels() -> Any:
    """Ask cuDNN for the same full float32 kernels every time."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


@contextlib.contextmanager
def memory_explained(device: torch.device, name: str, is_batch: bool) -> Iterator[None]:
    """Turn a lack of a device's memory into a VlmtError."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        todo = "give a smaller --batch" if is_batch else "run it on another device"
        raise VlmtError(f"{device} has too little memory for {name}", todo=todo) from error


def _hash(model: Any, processor: Any) -> str:
    config = {name: value for name, value in model.config.to_dict().items() if name not in _VOLATILE}
    digest = hashlib.sha256(json.dumps([config, processor.to_dict()], sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


# What tells of the file and the library, not of the network.
_VOLATILE = ("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype")
