"""Where the photos of MT-VGC's images are: ``coco/`` and ``vg/`` below a folder, or right in it."""

from pathlib import Path

from vlmt_cli.base.image_names import photo_of


def find_photo(folder: Path, key: str) -> Path | None:
    """Find the photo of an image key; None where it is not there."""
    direct = folder / official_name(key)
    return photo_of(folder, key) or (direct if direct.is_file() else None)


def official_name(key: str) -> str:
    """Return the name of an image's file as its source has it; RefCOCO's are of COCO's train2014."""
    source, _, name = key.partition(":")
    return f"COCO_train2014_{name:0>12}.jpg" if source == "coco" else f"{name}.jpg"
