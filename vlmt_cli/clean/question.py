"""The options that a clean split was made with: kept in its report, for checks and against overwriting."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from vlmt_cli.base.documents import read_json
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.opening import open_file


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ImageList(_Model):
    """A list of images that joined: its name, role, file, the SHA-256 of that, and what bare numbers mean in it."""

    name: str
    role: str
    path: str
    sha256: str
    source: str | None = None


class Mixture(_Model):
    """A mixture that is cleaned beside the datasets: its name, file, the SHA-256 of that, what bare numbers mean."""

    name: str
    path: str
    sha256: str
    source: str | None = None


class ImageFiles(_Model):
    """Image files that were compared: the folders, and a person's verdicts with their SHA-256."""

    folders: list[str]
    verdicts: str | None = None
    verdicts_sha256: str | None = None


class CleanQuestion(_Model):
    """What decides which examples are kept, beside the official files.

    Attributes:
        datasets: that are cleaned of each other's test images.
        identity: ``strict`` or ``paper``.
        options: the recipe keys that matter to it; None where the report is an older vlmt's, which did not say.
        image_lists: that joined.
        image_files: those that were compared; None for none.
        mixtures: that are cleaned of the same test images, which decide nothing about examples.
    """

    datasets: list[str]
    identity: str
    options: dict[str, Any] | None
    image_lists: list[ImageList] = []
    image_files: ImageFiles | None = None
    mixtures: list[Mixture] = []


def list_hash(path: Path) -> str:
    """Return the SHA-256 of a file. Raises a DataError when it cannot be read."""
    try:
        with open_file(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        todo = "see that it is there, and that you may read it"
        raise DataError(f"cannot be read ({error.strerror or error})", where=path, todo=todo) from error


def options_for(datasets: Sequence[str], known: Sequence[str], options: dict[str, Any], files: bool) -> dict[str, Any]:
    """Take the recipe keys that matter to a question.

    Args:
        datasets: of the question.
        known: all datasets, whose sections matter only where they are cleaned.
        options: the whole recipe.
        files: whether image files are compared.
    """
    idle = (set(known) - set(datasets)) | (set() if files else {"near_duplicates"})
    return {name: section for name, section in options.items() if name not in idle}


class ExistingSplit(NamedTuple):
    """A split that is there: what it was asked for, its hash, and the role of each dataset and split in it."""

    question: CleanQuestion
    split_hash: str
    roles: dict[tuple[str, str], str]

    @property
    def only_trained_on(self) -> list[str]:
        """Datasets without a test set: what is kept of the others does not depend on them."""
        tested = {dataset for (dataset, _), role in self.roles.items() if role == "test"}
        return [name for name in self.question.datasets if name not in tested]


def read_answer(folder: Path) -> ExistingSplit | None:
    """Read which question the split in a folder answers; None where there is no split that anybody could build on."""
    try:
        report = read_json(folder / "report.json")
        splits = report["splits"]
        roles = {(split["dataset"], split["split"]): str(split["role"]) for split in splits}
        if "question" in report:
            return ExistingSplit(CleanQuestion.model_validate(report["question"]), report["split_hash"], roles)
        lists = [split for split in splits if split["split"] == f"{split['role']}-images"]
        question = CleanQuestion(  # an older vlmt wrote it, which did not say
            datasets=list(dict.fromkeys(split["dataset"] for split in splits if split not in lists)),
            identity=report["identity"],
            options=None,
            image_lists=[
                ImageList(name=images["dataset"], role=images["role"], path="", sha256="") for images in lists
            ],
            image_files=ImageFiles(folders=[]) if report.get("near_duplicates") else None,
        )
        return ExistingSplit(question, report["split_hash"], roles)
    except (DataError, OSError, ValueError, KeyError, TypeError):
        return None


def differences(old: CleanQuestion, new: CleanQuestion) -> list[str]:
    """Say in what a question differs from the one that the split there answers."""
    changes = []
    if without := [name for name in old.datasets if name not in new.datasets]:
        changes.append(f"leaves out {', '.join(without)}")
    if added := [name for name in new.datasets if name not in old.datasets]:
        changes.append(f"adds {', '.join(added)}")
    if old.identity != new.identity:
        changes.append(f"takes {new.identity} identity instead of {old.identity}")
    if old.options is not None and new.options is not None:
        shared = [name for name in new.options if name in old.options]
        before, after = (flat({name: options[name] for name in shared}) for options in (old.options, new.options))
        # A key that the one there does not have is newer than it.
        changed = [key for key in after if key in before and before[key] != after[key]]
        changes += [f"sets {key} to {after[key]} instead of {before[key]}" for key in changed]
    changes += _list_differences(old.image_lists, new.image_lists)
    before, after = ({each.name: (each.sha256, each.source) for each in asked.mixtures} for asked in (old, new))
    changes += [f"leaves out the mixture {name}" for name in before if name not in after]
    changes += [f"adds the mixture {name}" for name in after if name not in before]
    changes += [f"has another mixture {name}" for name in after if before.get(name, after[name]) != after[name]]
    if (old.image_files is None) != (new.image_files is None):
        changes.append("compares image files" if new.image_files else "does not compare image files")
    elif old.image_files and new.image_files and old.options is not None:
        if old.image_files.folders != new.image_files.folders:
            changes.append("compares the image files of other folders")
        if old.image_files.verdicts_sha256 != new.image_files.verdicts_sha256:
            changes.append("takes other verdicts on pairs of images")
    return changes


def _list_differences(old: Sequence[ImageList], new: Sequence[ImageList]) -> list[str]:
    before, after = (
        {(images.name, images.role): images.sha256 and (images.sha256, images.source) for images in lists}
        for lists in (old, new)
    )
    changes = [f"leaves out the image list {name}:{role}" for name, role in before if (name, role) not in after]
    changes += [f"adds the image list {name}:{role}" for name, role in after if (name, role) not in before]
    both = [key for key in after if before.get(key)]
    return changes + [
        f"has another list {name}:{role}" for name, role in both if before[name, role] != after[name, role]
    ]


def flat(options: Any, prefix: str = "") -> dict[str, Any]:
    """Return options as ``vqa.minval: 3000``."""
    if not isinstance(options, dict):
        return {prefix: options}
    values: dict[str, Any] = {}
    for name, part in options.items():
        values |= flat(part, f"{prefix}.{name}".lstrip("."))
    return values
