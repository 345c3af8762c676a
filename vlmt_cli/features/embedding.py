"""Networks that embed whole pictures: a TorchScript file, such as SSCD's, or DINOv2, DINOv3 or CLIP of transformers.

A picture is squeezed into a square, without the cropping that classifiers do, so that nothing of it is lost and what
comes out does not depend on the pictures beside it. A TorchScript file gets squares of 320 pixels, with the means and
deviations of ImageNet, as SSCD (Pizzi et al., CVPR 2022) is used; others what their image processor says.
"""

import hashlib
import multiprocessing
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vlmt_cli.base.embedder import Embedder, EmbeddingModel
from vlmt_cli.base.errors import DataError
from vlmt_cli.features.backbone import squeeze
from vlmt_cli.features.networks import Network, load_network, run_network

_SCRIPT_PIXELS = 320
_SCRIPT_INPUT = SimpleNamespace(
    do_rescale=True,
    rescale_factor=1 / 255,
    do_normalize=True,
    image_mean=(0.485, 0.456, 0.406),
    image_std=(0.229, 0.224, 0.225),
)
_TOGETHER = 16
"""Pictures at once on a device that is not the CPU."""


@cache
def load_embedder(source: str) -> Embedder:
    """Load a network that embeds pictures, onto the first GPU or else the CPU.

    Args:
        source: a TorchScript file, which is code: it must be trusted; or a hub id or folder of transformers.

    Raises:
        DataError: it cannot be had, or gives no vector a picture.
    """
    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)  # a process a core decodes
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network, prepare, run = (_script if Path(source).is_file() else _transformer)(source, device)
    together = 1 if device == "cpu" else _TOGETHER

    def embed(pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        vectors = run_network(network, [prepare(each) for each in pictures], together, run)
        return torch.stack(vectors).float().cpu().numpy() if vectors else np.empty((0, width), np.float32)

    todo = "give a TorchScript file that makes a vector of a picture, or a DINOv2, DINOv3 or CLIP model"
    problem = DataError("gives no vector a picture", where=source, todo=todo)
    try:
        width = run_network(network, [prepare(Image.new("RGB", (64, 64)))], 1, run)[0].shape[0]
    except (AttributeError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise problem from error
    return Embedder(network.hash, EmbeddingModel(network.name, width), embed)


_Loaded = tuple[Network, Callable[[Image.Image], NDArray[np.uint8]], Callable[[Tensor], list[Tensor]]]


def _script(source: str, device: str) -> _Loaded:
    path = Path(source)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the format is old, and models that are published have it
            # It refuses a pickle of Python's; what it loads can still run whatever TorchScript can.
            load: Any = torch.jit.load
            model = load(str(path), map_location=device).eval()
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        todo = "give a file that torch.jit.save wrote, such as SSCD's .torchscript.pt"
        raise DataError(f"cannot be loaded as TorchScript ({reason[:200]})", where=source, todo=todo) from error
    network = Network(path.name, digest, model, _SCRIPT_INPUT, torch.device(device))
    return network, _squeezed, lambda pixels: _rows(model(pixels))


def _squeezed(picture: Image.Image) -> NDArray[np.uint8]:
    resized = picture.resize((_SCRIPT_PIXELS, _SCRIPT_PIXELS), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def _transformer(source: str, device: str) -> _Loaded:
    network = load_network("AutoModel", source, device)
    side = _side(network.processor)
    return network, lambda picture: squeeze(network.processor, side, picture), lambda pixels: _embed(network, pixels)


def _side(processor: Any) -> int:
    """Return the pixels a side of what its network usually gets."""
    size = (processor.crop_size if getattr(processor, "do_center_crop", False) else None) or processor.size
    return int(size["height"] if "height" in size else size["shortest_edge"])


def _embed(network: Network, pixels: Tensor) -> list[Tensor]:
    if hasattr(network.model, "get_image_features"):  # CLIP and the like
        features = network.model.get_image_features(pixel_values=pixels)
        return _rows(features if isinstance(features, Tensor) else features.pooler_output)
    if not network.model.config.model_type.startswith("dino"):
        raise ValueError(network.model.config.model_type)
    return _rows(network.model(pixel_values=pixels).pooler_output)


def _rows(vectors: Any) -> list[Tensor]:
    if not isinstance(vectors, Tensor) or vectors.ndim != 2 or not vectors.shape[1]:
        raise TypeError("no vector a picture")
    return list(vectors)
