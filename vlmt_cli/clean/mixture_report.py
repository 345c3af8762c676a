"""What ``report.json`` says of mixtures that were cleaned beside the datasets."""

from pydantic import BaseModel, ConfigDict

FOLDER = "mixtures"
"""Below the split's: a folder a mixture, and beside it its removed records with what they show."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CleanedFile(_Model):
    """A file of records: where it was, its form, what stands before its images' names, and where it was written.

    ``fields`` is what its list calls the fields of its images.
    """

    path: str
    form: str
    root: str
    records: int
    removed: int
    written: str | None = None
    fields: tuple[str, ...] = ()


class MixtureReport(_Model):
    """A mixture beside the datasets.

    Attributes:
        records, removed, removed_under_paper_identity: of all its files.
        images, unnamed: images in its records, and those of them that nothing names, with examples.
        partly: images with an address or a hash alone, and not compared with all test sets.
        damaged: records that could not be read.
        unmet: records without an image whose text says ``<image>``.
        by_test_set, by_relation: removed records.
        sha256: of the files written, by their path below the mixture's folder; pictures are left out.
        hash: the SHA-256 of the lines "SHA-256, two spaces, path" of these; None where nothing was written.
    """

    name: str
    files: list[CleanedFile]
    records: int
    removed: int
    removed_under_paper_identity: int
    images: int
    unnamed: int
    unnamed_examples: list[str]
    partly: int = 0
    damaged: int
    unmet: int = 0
    by_test_set: dict[str, int]
    by_relation: dict[str, int]
    sha256: dict[str, str] = {}
    hash: str | None = None
