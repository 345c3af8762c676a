"""Write the synthetic world: the official annotation files of all the datasets, and the images they speak of."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from vlmt_cli.miniworld.draw import png
from vlmt_cli.miniworld.output import put, put_json
from vlmt_cli.miniworld.photos import Plan
from vlmt_cli.miniworld.plan import make_plan
from vlmt_cli.miniworld.question_answering import write_gqa, write_vg_qa, write_vqa
from vlmt_cli.miniworld.referring import write_guesswhat, write_refcoco, write_visual7w
from vlmt_cli.miniworld.retrieval import (
    flickr30k_captions,
    write_coco,
    write_conceptual_captions,
    write_entities,
    write_flickr30k,
)
from vlmt_cli.miniworld.sizes import Sizes
from vlmt_cli.miniworld.verification import write_nlvr2, write_snli_ve

DEFAULT = Sizes()
MARK = "miniworld.json"
"""Says whose the folder is, so that nobody's real data is written over."""


def write_world(
    folder: Path, sizes: Sizes = DEFAULT, seed: int = 0, progress: Callable[[str, int, int], None] | None = None
) -> None:
    """Write ``<folder>/raw/<dataset>/<official files>`` and ``<folder>/images/<source>/<stem>.png``.

    The same sizes and seed give the same bytes.

    Args:
        progress: called with what is being written ("annotations" or "images"), how many are done, and of how many.

    Raises:
        FileExistsError: the folder has annotation files that are not a synthetic world's; they are left alone.
        ValueError: the sizes do not fit together.
    """
    if (folder / "raw").exists() and not (folder / MARK).exists():
        raise FileExistsError(f"{folder / 'raw'} holds files that are not a synthetic world's; choose another folder")
    plan = make_plan(sizes, seed)
    put_json(folder / MARK, {"seed": seed, "sizes": asdict(sizes)})
    write_annotations(plan, folder / "raw", progress)
    draw_images(plan, folder / "images", progress)


def write_annotations(plan: Plan, raw: Path, progress: Callable[[str, int, int], None] | None = None) -> None:
    """Write the annotation files of all datasets to ``<raw>/<dataset>/``."""
    captions = flickr30k_captions(plan)
    writers: list[Callable[[], None]] = [
        lambda: write_vqa(plan, raw),
        lambda: write_vg_qa(plan, raw),
        lambda: write_gqa(plan, raw),
        lambda: write_coco(plan, raw),
        lambda: write_flickr30k(plan, raw, captions),
        lambda: write_entities(plan, raw, captions),
        *(lambda name=name: write_refcoco(plan, raw, name) for name in ("refcoco", "refcoco+", "refcocog")),
        lambda: write_visual7w(plan, raw),
        lambda: write_guesswhat(plan, raw),
        lambda: write_nlvr2(plan, raw),
        lambda: write_snli_ve(plan, raw, captions),
        lambda: write_conceptual_captions(plan, raw),
    ]
    for done, write in enumerate(writers, 1):
        write()
        if progress:
            progress("annotations", done, len(writers))


def draw_images(plan: Plan, images: Path, progress: Callable[[str, int, int], None] | None = None) -> None:
    """Draw every photo under each of its names: ``<images>/<source>/<stem>.png``."""
    drawn: dict[int, bytes] = {}
    files = plan.files()
    for done, ((source, stem), photo) in enumerate(files.items(), 1):
        if photo not in drawn:
            drawn[photo] = png(plan.scenes[photo])
        put(images / source / f"{stem}.png", drawn[photo])
        if progress:
            progress("images", done, len(files))
