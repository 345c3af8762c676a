"""A question to a model, checked before anything heavy is imported."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.image_names import SUFFIXES
from vlmt_cli.base.images import is_image, no_image_file
from vlmt_cli.base.keys import check_image_key
from vlmt_cli.base.schema import nearest
from vlmt_cli.datasets.table import GROUPS, TASKS, TWELVE
from vlmt_cli.tasks.groups import rules_of


@dataclass(frozen=True)
class PhotoSource:
    """A photo that is asked about: the file ``path``, or the image key ``name`` where that is None."""

    name: str
    path: Path | None = None


def find_photos(names: Sequence[str]) -> list[PhotoSource]:
    """Say which photos are meant by files, folders and image keys.

    Raises:
        DataError: there is no such photo, or a folder has none.
    """
    photos: list[PhotoSource] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            files = [file for file in sorted(path.iterdir()) if _is_photo(file)]
            if not files:
                raise DataError("has no image files", where=name, todo=f"name one with {', '.join(SUFFIXES)} files")
            photos += [PhotoSource(writable_name(str(file)), file) for file in files]
        elif path.exists():
            photos.append(PhotoSource(writable_name(name), path))
        elif ":" in name and "/" not in name:
            photos.append(PhotoSource(check_image_key(name)))
        else:
            todo = "name an image file, a folder of them, or an image key such as coco:262148"
            raise DataError("there is no such photo", where=writable_name(name), todo=todo)
    return photos


def check_question(task: str, photos: int, texts: Sequence[str]) -> None:
    """Find out whether a question can be asked of any model.

    Raises:
        UsageError: there is no such task, it takes another number of photos or texts, or a text is empty.
    """
    if task not in TASKS:
        raise UsageError(f"there is no task {task!r}", todo=nearest(task, TASKS))
    if not texts:
        raise UsageError("there is no text", todo='give one with --text "..."')
    for text in texts:
        if not text.strip() or not _is_unicode(text):
            raise UsageError(f"--text {text!r} has no words" if _is_unicode(text) else f"--text {text!r} is not UTF-8")
    if TASKS[task].images == 2 and photos != 2:
        raise UsageError(f"{task} compares two photos, and here {_are(photos)}", todo="name the left, then the right")
    if rules_of(task).PREDICTS == "ranking" and photos * len(texts) < 2:
        todo = "give several photos, a folder of them, or several --text"
        raise UsageError(f"{task} ranks photos for a text, or texts for a photo, and here is one of each", todo=todo)


def named_tasks(text: str) -> tuple[list[str], set[str]]:
    """Read ``vqa,G3`` or ``all``.

    Returns:
        The tasks in table 2's order of groups, and those that were named themselves: of these none may be left out.

    Raises:
        UsageError: there is no such task or group.
    """
    words = text.replace(",", " ").split()
    if not words:
        raise UsageError("--tasks names none", todo="name tasks or groups, or leave it out")
    for word in words:
        if word not in TASKS and word not in GROUPS and word != "all":
            raise UsageError(f"there is no task {word!r}", todo=nearest(word, [*TASKS, *GROUPS]))
    named = {name for word in words for name in (TWELVE if word == "all" else GROUPS.get(word, (word,)))}
    return [task for task in TASKS if task in named], {word for word in words if word in TASKS}


def writable_name(text: str) -> str:
    """Return a file name that can be written as UTF-8."""
    return text.encode(errors="replace").decode()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _are(photos: int) -> str:
    return f"{'is' if photos == 1 else 'are'} {photos or 'none'}"


def _is_photo(path: Path) -> bool:
    """Return whether a file is a photo by its name or by what it holds."""
    return path.name.lower().endswith(SUFFIXES) or (no_image_file(str(path)) is None and is_image(str(path)))


def check_options(
    sources: Sequence[PhotoSource],
    features: str | None,
    detector: str | None,
    backbone: str | None,
    detector_weights: Path | None,
) -> None:
    """Refuse a feature store where all photos are files, and networks where none is, with a UsageError."""
    files = sum(source.path is not None for source in sources)
    if features is not None and files == len(sources):
        todo = "leave it out, or name image keys such as coco:262148"
        raise UsageError("--features is for image keys, and all photos here are files", todo=todo)
    networks = {"--detector": detector, "--backbone": backbone, "--detector-weights": detector_weights}
    for name, value in networks.items():
        if value is not None and not files:
            what = f"{name} is for files of photos, and all photos here are image keys"
            raise UsageError(what, todo="leave it out, or name files")
