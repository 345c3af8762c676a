"""What was written and what it was made from, as Croissant 1.1: JSON-LD that dataset hubs and search engines read.

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html; provenance in the words of W3C's PROV-O.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from os.path import relpath
from pathlib import Path
from urllib.parse import quote

from vlmt_cli import __version__
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import write_text

CROISSANT_FILE = "croissant.json"
_CROISSANT = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileObject fileProperty fileSet format"
    " includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace"
    " samplingRate separator source subField transform"
).split()
_CONTEXT: dict[str, object] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"cr:{name}" for name in _CROISSANT},
}
_TYPES = {
    ".arrow": "application/vnd.apache.arrow.file",
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".tar": "application/x-tar",
    ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
_IMAGES = frozenset(".bmp .gif .jpeg .jpg .png .tif .tiff .webp".split())


def write_croissant(
    folder: Path, name: str, description: str, files: Iterable[Path], made_from: Mapping[str, str]
) -> None:
    """Write ``croissant.json`` beside a report.

    Args:
        folder: of the report.
        name, description: of the data.
        files: that were written.
        made_from: the SHA-256 of each input file, by its path.
    """
    distribution = [
        {
            "@type": "cr:FileObject",
            "@id": quote(Path(relpath(path, folder)).as_posix()),
            "name": path.name,
            "contentUrl": quote(Path(relpath(path, folder)).as_posix()),
            "contentSize": f"{path.stat().st_size} B",
            "encodingFormat": _TYPES.get(path.suffix.lower(), "application/octet-stream"),
            "sha256": sha256_of(path),
        }
        for path in files
    ]
    origins = [
        {"@type": "prov:Entity", "@id": quote(path), "name": Path(path).name, "sha256": digest}
        for path, digest in sorted(made_from.items())
    ]
    dataset = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": name,
        "description": f"{description} Made by vlmt {__version__}.",
        "distribution": distribution,
        "prov:wasDerivedFrom": origins,
    }
    write_text(folder / CROISSANT_FILE, json.dumps(dataset, indent=2) + "\n")


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex. Raises a DataError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        todo = "see that it is there, and that you may read it"
        raise DataError(f"cannot be read ({error.strerror or error})", where=path, todo=todo) from error


def files_below(path: Path) -> list[Path]:
    """Return a file itself, or the files of a folder and those below it, without images."""
    if path.is_file():
        return [path]
    return sorted(each for each in path.rglob("*") if each.is_file() and each.suffix.lower() not in _IMAGES)
