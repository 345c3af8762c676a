"""``vlmt data``: which files are present, what the examples look like, and which datasets share an image."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmt_cli.base.words import printable
from vlmt_cli.commands import completion
from vlmt_cli.commands.options import DATA, DataFolder, DataKeys, Json, RecipeName, check_data

if TYPE_CHECKING:
    from vlmt_cli.datasets.prepared import Manifest

app = typer.Typer(help="Look at datasets: files, examples, images.", no_args_is_help=True)


@app.command()
def status(data: DataFolder = DATA, as_json: Json = False) -> None:
    """Show which official files are present, which are missing, what was read from them, and what is not read.

    Example:

      vlmt data status
    """
    import json
    from dataclasses import asdict

    from vlmt_cli.base.words import count
    from vlmt_cli.commands.show import stdout, table
    from vlmt_cli.datasets.official import addresses, all_datasets, missing_files, optional_files
    from vlmt_cli.datasets.prepared import prepared
    from vlmt_cli.datasets.unread import unread_files

    check_data(data)
    result: dict[str, Any] = {}
    for name, dataset in all_datasets().items():
        examples = prepared(data, name)
        result[name] = {
            "files": len(dataset.files),
            "missing": missing_files(data, name),
            "optional": optional_files(data, name),
            "addresses": addresses(data, name),
            "splits": examples.manifest.splits if examples else None,
            "test_images": examples.manifest.test_images if examples else None,
            "links": examples.manifest.links if examples else None,
            "notes": _counted(examples.manifest) if examples else None,
        }
    unread = unread_files(data)
    if as_json:
        print(json.dumps(result | {"unread": [asdict(each) for each in unread]}, indent=2))
        return
    rows = []
    for name, known in result.items():
        parts = [f"{split} {number:,}" for split, number in (known["splits"] or {}).items()]
        parts += [f"{split} images alone {number:,}" for split, number in (known["test_images"] or {}).items()]
        read = ", ".join(parts)
        if not all_datasets()[name].group and known["links"]:
            read = f"{count(known['links'], 'link')} between images"
        share = f"{known['files'] - len(known['missing'])} of {known['files']}" if known["files"] else ""
        rows.append([name, share, read or "not read yet"])
    console = stdout()
    console.print(table(["dataset", "files", "examples"], rows, f"Official files below {data / 'raw'}", left=3))
    if any(known["notes"] for known in result.values()):
        console.print("\nOddities in the official files:", style="bold")
    for name, known in result.items():
        for note, number in (known["notes"] or {}).items():
            console.print(f"  {name}: {printable(note, 200)}: {number:,}", soft_wrap=True)
    missing = list(dict.fromkeys(file for known in result.values() for file in known["missing"]))
    optional = [file for known in result.values() for file, exists in known["optional"].items() if not exists]
    origin = {file: address for known in result.values() for file, address in known["addresses"].items()}
    for title, files in (("Missing", missing), ("Optional, and not there", optional)):
        by_address: dict[str, list[str]] = {}
        for file in files:
            by_address.setdefault(origin[file], []).append(file)
        if files:
            console.print(f"\n{title}, below the address that they come from:", style="bold")
        for address, named in by_address.items():
            console.print(address or "(each image by its own address)", style="cyan", soft_wrap=True)
            for file in named:
                console.print(f"  {file}", soft_wrap=True)
    if unread:
        console.print(f"\nBelow {data / 'raw'}, and not read:", style="bold")
    for each in unread:
        console.print(f"  {each.path}: {each.what}; {each.todo}", soft_wrap=True)


@app.command()
def show(
    dataset: Annotated[str, typer.Argument(help="A dataset, such as vqa.", autocompletion=completion.datasets)],
    split: Annotated[str, typer.Argument(help="Its split.")] = "train",
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Number of examples.")] = 6,
    masking: Annotated[
        bool, typer.Option("--masking", help="Draw what pre-training masks of them, into DATA/masking_DATASET.png.")
    ] = False,
    to: Annotated[Path | None, typer.Option("--to", help="With --masking: another PNG.")] = None,
    features: Annotated[
        Path | None, typer.Option("--features", help="With --masking: the store; else the one that has the images.")
    ] = None,
    data: DataFolder = DATA,
    recipe: RecipeName = "data",
    keys: DataKeys = None,
    as_json: Json = False,
) -> None:
    """Show the first examples of a split.

    Examples:

      vlmt data show guesswhat val -n 2

      vlmt data show conceptual_captions --masking
    """
    from vlmt_cli.base.errors import DataError, UsageError
    from vlmt_cli.base.recipes import load_recipe
    from vlmt_cli.base.schema import nearest
    from vlmt_cli.commands.reading import examples_of
    from vlmt_cli.datasets.clean_command import listed_files, more_splits
    from vlmt_cli.datasets.official import addresses, missing_files, raw_folder
    from vlmt_cli.datasets.options import Options
    from vlmt_cli.datasets.prepared import prepared
    from vlmt_cli.datasets.table import DATASETS

    if not masking and (to or features):
        raise UsageError(f"{'--to' if to else '--features'} goes with --masking")
    if dataset not in DATASETS:
        raise UsageError(f"there is no dataset {dataset!r}", todo=nearest(dataset, DATASETS))
    options = load_recipe(recipe, Options, keys or ())
    check_data(data)
    origin = addresses(data, dataset)
    made = prepared(data, dataset)
    has_splits = made is not None and made.manifest.splits
    if len(missing := missing_files(data, dataset)) == len(DATASETS[dataset].files) and not has_splits:
        todo = f"put {listed_files({file: origin[file] for file in missing})} below {data / 'raw'}"
        raise DataError(f"there is no official file of {dataset}", where=raw_folder(data, dataset), todo=todo)
    with examples_of(data, [dataset], options) as read:
        examples = read[dataset]
        if split not in examples.manifest.splits:
            known = ", ".join(examples.manifest.splits)
            todo = f"choose {known}{more_splits(data, dataset)}" if known else "put its official files in place"
            raise UsageError(f"{dataset} has no split {split!r} among the files that are there", todo=todo)
        if masking:
            from vlmt_cli.commands.masking_picture import show_masking

            path = to or data / f"masking_{dataset}.png"
            show_masking(examples.path(split), f"{dataset} {split}", path, count, data, features, as_json)
        else:
            labels = DATASETS[dataset].labels
            notes = _counted(examples.manifest) | _unanswerable(data, dataset, examples.path(split))
            _show_examples(examples.path(split), f"{dataset} {split}", labels, count, as_json, notes)


def _show_examples(
    path: Path, what: str, labels: Sequence[str], most: int, as_json: bool, notes: dict[str, int]
) -> None:
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    from vlmt_cli.base.errors import DataError
    from vlmt_cli.base.words import count, printable
    from vlmt_cli.commands.show import stdout
    from vlmt_cli.datasets.tables import check_columns

    try:
        file = pq.ParquetFile(path)
        batches = [next(file.iter_batches(batch_size=most))] if file.metadata.num_rows else []
    except (OSError, pa.ArrowException) as error:
        todo = f"delete {path.parent} and run the command again"
        raise DataError(f"is damaged ({printable(error)})", where=path, todo=todo) from error
    first = pa.Table.from_batches(batches, file.schema_arrow)
    check_columns(first, path)
    rows = first.to_pylist()
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    console = stdout()
    console.print(f"{what}: {count(file.metadata.num_rows, 'example')}", style="bold")
    for note, number in notes.items():
        console.print(f"  {printable(note, 200)}: {number:,}", soft_wrap=True)
    for row in rows:
        console.print(f"\n{printable(row['example_id'])}  {' '.join(row['images'])}", style="cyan")
        for name, value in row.items():
            if name not in ("example_id", "images") and value is not None:
                called = f" ({labels[value]})" if name == "label" and labels else ""
                console.print(f"  {name:<10} {_readable(value)}{called}")


@app.command()
def explain(
    key: Annotated[str, typer.Argument(help="An image key, such as coco:262148.")],
    data: DataFolder = DATA,
    as_json: Json = False,
) -> None:
    """Show every dataset, split and example that has an image, under any of its names.

    Looks into the example tables that were read so far.

    Example:

      vlmt data explain coco:262148
    """
    import json

    from vlmt_cli.base.errors import DataError
    from vlmt_cli.base.keys import check_image_key
    from vlmt_cli.clean.explain import explain_image
    from vlmt_cli.clean.splits import splits_of
    from vlmt_cli.commands.reading import stale_split
    from vlmt_cli.commands.show import say, stdout, table
    from vlmt_cli.datasets.official import all_datasets
    from vlmt_cli.datasets.prepared import prepared

    check_image_key(key)
    check_data(data)
    examples = [use for name in all_datasets() if (use := prepared(data, name))]
    if not examples:
        raise DataError("nothing was read yet", where=data / "examples", todo="read the datasets with vlmt clean")
    splits = [split for example in examples for split in splits_of(example)]
    uses = explain_image(key, splits, [example.links() for example in examples])
    if stale := stale_split(data):
        say(f"Warning: {stale}")
    if as_json:
        print(json.dumps([vars(use) for use in uses], indent=2))
        return
    if not uses:
        stdout().print(f"No dataset that was read has {key}.")
        return
    rows = [
        [use.dataset, use.split, use.image, use.how, f"{use.examples:,}", ", ".join(map(printable, use.first_ids))]
        for use in uses
    ]
    stdout().print(table(["dataset", "split", "key there", "matched by", "examples", "ids"], rows, key, left=4))


def _counted(manifest: "Manifest") -> dict[str, int]:
    """What a reader passed over, changed or thought odd; that a crosswalk lists images is none of it."""
    from vlmt_cli.datasets.crosswalks import IMAGES

    return {note: number for note, number in manifest.notes.items() if note != IMAGES}


def _unanswerable(data: Path, dataset: str, table: Path) -> dict[str, int]:
    """Count the examples of a split that have answers, none of which is in the list of their head."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from vlmt_cli.base.documents import read_json
    from vlmt_cli.datasets.prepared import examples_folder
    from vlmt_cli.datasets.table import DATASETS
    from vlmt_cli.datasets.tables import note

    notes: dict[str, int] = {}
    owner = DATASETS[dataset].vocabulary
    if owner and (path := examples_folder(data, owner) / "answers.json").exists():
        answers = pq.read_table(table, columns=["answers"])["answers"].combine_chunks()
        rows, known = (
            pc.list_parent_indices(answers),
            pc.is_in(answers.flatten(), pa.array(read_json(path), pa.string())),
        )
        lacking = len(rows.unique()) - len(rows.filter(known).unique())
        note(notes, f"examples none of whose answers is in the list of {owner}, and which are not trained on", lacking)
    return notes


def _readable(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_readable(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else printable(value, 1_000)
