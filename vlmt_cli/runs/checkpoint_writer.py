"""Writing a checkpoint: as a run folder, as one ``.pt``, or to the hub."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlmt_cli.base.errors import VlmtError
from vlmt_cli.base.files import atomic, atomic_folder
from vlmt_cli.runs.best import BEST, VALIDATION, Best
from vlmt_cli.runs.card import Described, chosen_licence, model_card
from vlmt_cli.runs.checkpoint import FILES, FORMAT, Checkpoint, check_whole
from vlmt_cli.runs.folders import CARD, CONFIG, LABELS, LINEAGE, STATE, TOKENIZER, UNREAD, WEIGHTS
from vlmt_cli.runs.lineage import to_json
from vlmt_cli.runs.recipe import RECIPE, read_recipe
from vlmt_cli.runs.tensors import (
    on_cpu,
    write_tensors,
    write_torch,
)


def save_pretrained(
    folder: Path,
    checkpoint: Checkpoint,
    state: Mapping[str, Any] | None = None,
    best: tuple[Best, Checkpoint] | None = None,
) -> None:
    """Write a checkpoint into a run folder; the run's other files stay.

    Args:
        folder: the run.
        checkpoint: what is written.
        state: what training needs to go on, ``state.pt``: tensors and plain data.
        best: the run's best weights and when they were that, ``best/``; None keeps those that are there.

    All of it takes its place together, so that a run that is killed leaves weights, state and best weights of one
    moment.

    Raises:
        VlmtError: it cannot be written; what was there before is still there.
    """
    check_whole(checkpoint)
    recipe = read_recipe(folder) if (folder / RECIPE).exists() else None
    described = Described(folder.resolve().name, recipe, licence=chosen_licence(folder / CARD))
    with atomic_folder(folder) as temporary:
        _write(temporary, checkpoint, described)
        if state is not None:
            write_torch(temporary / STATE, dict(state))
        if best is not None:
            (temporary / BEST).mkdir()
            _write(temporary / BEST, best[1], described)
            (temporary / BEST / VALIDATION).write_text(to_json(best[0].model_dump(mode="json")), encoding="utf-8")
            if (folder / RECIPE).exists():
                shutil.copyfile(folder / RECIPE, temporary / BEST / RECIPE)
        elif (folder / BEST).is_dir():
            shutil.copytree(folder / BEST, temporary / BEST, copy_function=_link)
        written = {file.name for file in temporary.iterdir()}
    for name in {UNREAD, TOKENIZER} - written:  # of another checkpoint that was here
        (folder / name).unlink(missing_ok=True)


def _write(folder: Path, checkpoint: Checkpoint, described: Described) -> None:
    texts = {
        CONFIG: to_json({"format": FORMAT, **checkpoint.config.model_dump(mode="json")}),
        LABELS: to_json(checkpoint.labels),
        LINEAGE: to_json(checkpoint.lineage.model_dump(mode="json")),
        CARD: model_card(checkpoint.model, checkpoint.labels, checkpoint.lineage, described),
    }
    if checkpoint.tokenizer is not None:
        texts[TOKENIZER] = checkpoint.tokenizer
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name, tensors in ((WEIGHTS, checkpoint.model.state_dict()), (UNREAD, checkpoint.unread)):
        if tensors:
            write_tensors(folder / name, tensors)
    for name, content in checkpoint.images.items():
        (folder / name).write_bytes(content)


def _link(source: str, target: str) -> None:
    """Give a file that never changes a second name, or copy it where the file system knows no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def save_single_file(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint as one ``.pt``.

    Raises:
        VlmtError: it cannot be written; what was there before is still there.
    """
    check_whole(checkpoint)
    content = {
        "format": FORMAT,
        "config": checkpoint.config.model_dump(mode="json"),
        "weights": on_cpu(checkpoint.model.state_dict()),
        "labels": checkpoint.labels,
        "tokenizer": checkpoint.tokenizer,
        "lineage": checkpoint.lineage.model_dump(mode="json"),
        "unread": on_cpu(checkpoint.unread),
        "images": checkpoint.images,
    }
    with atomic(path) as temporary:
        write_torch(temporary, content)


def push_to_hub(folder: Path, repository: str) -> str:
    """Upload a run folder's checkpoint, and nothing else that is in the folder; returns its address.

    Raises:
        VlmtError: the hub refuses it or cannot be reached.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        api.create_repo(repository, exist_ok=True)
        api.upload_folder(folder_path=folder, repo_id=repository, allow_patterns=[*FILES, "images*"])
    except Exception as error:  # the hub client, its network client and its validators each have their own
        message = " ".join(str(error).split())[:200]
        todo = "look whether the network is there, and log in with hf auth login"
        raise VlmtError(f"not uploaded ({message})", where=repository, todo=todo) from error
    return f"https://huggingface.co/{repository}"
