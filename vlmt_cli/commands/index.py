"""``vlmt index``: which benchmarks are known, and making an index of one's own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmt_cli.commands.embedding import Embed, loader
from vlmt_cli.commands.index_calibrate import calibrate
from vlmt_cli.commands.options import DATA, DataFolder, DataKeys, Json, RecipeName, check_data, check_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmt_cli.base.embedder import Embedder
    from vlmt_cli.clean.index import Index
    from vlmt_cli.datasets.options import Options

app = typer.Typer()

IndexFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--index", help="Another index file beside the built-in one and DATA/index.parquet. Repeat it for more."
    ),
]


@app.callback(invoke_without_command=True)
def index(context: typer.Context, data: DataFolder = DATA, files: IndexFiles = None, as_json: Json = False) -> None:
    """List the benchmarks whose images are known, or add to them.

    For each: how many of its images are known, from whom, and what the index lacks.

    Examples:

      vlmt index

      vlmt index add refcocog visual7w

      vlmt index add mybench=questions.jsonl --to mybench.parquet
    """
    if context.invoked_subcommand is None:
        check_named(data)
        from vlmt_cli.clean.own_index import known_index

        _show(known_index(data, files or ()), as_json)


app.command()(calibrate)


@app.command()
def add(
    given: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME[=FILE]...",
            help="NAME=FILE: a benchmark's file, or a folder of its images. NAME alone: a dataset, or all, by its"
            " official files below DATA/raw.",
        ),
    ],
    val: Annotated[bool, typer.Option("--val", help="Add validation sets of official files, too.")] = False,
    source: Annotated[
        str | None, typer.Option(help="With NAME=FILE: what bare numbers mean in it, such as coco, vg or flickr30k.")
    ] = None,
    images: Annotated[
        bool, typer.Option("--images", help="With NAME=FILE: hash the images that it holds, too.")
    ] = False,
    embed: Embed = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Write what is added to this file, and leave DATA/index.parquet as it is."),
    ] = None,
    data: DataFolder = DATA,
    recipe: RecipeName = "data",
    keys: DataKeys = None,
    as_json: Json = False,
) -> None:
    """Add benchmarks to the index: to DATA/index.parquet, or to a file of their own with --to.

    An index holds image keys, addresses, hashes of files, and 64-bit hashes of texts: no picture, no readable text;
    with --embed vectors that a network makes of pictures, too.

    Examples:

      vlmt index add all --val

      vlmt index add refcocog vg_images

      vlmt index add pope=coco_pope_random.json

      vlmt index add mybench=photos/ theirs=test.parquet --images --to theirs.parquet
    """
    from vlmt_cli.base.errors import DataError, UsageError
    from vlmt_cli.base.files import locked
    from vlmt_cli.base.recipes import load_recipe
    from vlmt_cli.base.words import count
    from vlmt_cli.clean.index import join_indexes, without
    from vlmt_cli.clean.index_file import read_index, write_index
    from vlmt_cli.clean.own_index import OWN, known_index, without_idle_links
    from vlmt_cli.commands.show import say
    from vlmt_cli.datasets.options import Options

    check_named(data)
    pairs = [_parse(each) for each in given]
    own = [name for name, path in pairs if path is None]
    if embed and not any(path and (images or path.is_dir()) for _, path in pairs):
        raise UsageError("--embed goes with NAME=FILE and --images", todo="name a file or folder with pictures")
    embedder = loader(embed)() if embed else None
    parts = [_of_file(name, path, source, images, embedder) for name, path in pairs if path is not None]
    if own:
        check_data(data)
        parts.append(_of_datasets(data, own, val, load_recipe(recipe, Options, keys or ())))
    added = join_indexes(parts)
    if "all" in own and not added.benchmarks:
        todo = "put official files there; vlmt data status says which, and where to download them"
        raise DataError("has no test set that can be read", where=data / "raw", todo=todo)
    if to:
        # A file to share stands alone: it takes the links that its images have in any index here.
        known = join_indexes([known_index(data if data.is_dir() else None), added])
        write_index(to, without_idle_links(known.only([name for name in added.benchmarks if name in known.benchmarks])))
    else:
        with locked(data):
            before = [without(read_index(data / OWN), added.benchmarks)] if (data / OWN).exists() else []
            write_index(data / OWN, join_indexes([*before, added]))
        known = known_index(data)
    if added.benchmarks or as_json:
        _show(known, as_json, [name for name in added.benchmarks if name in known.benchmarks])
    else:
        say(f"{count(len(added.links), 'link')} between names of images; no test set was added.")
    say(f"Written to {to or data / OWN}.")


def _parse(given: str) -> tuple[str, Path | None]:
    import re

    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.base.schema import nearest
    from vlmt_cli.datasets.official import all_datasets

    name, equals, path = given.partition("=")
    if not equals:
        if name != "all" and name not in all_datasets():
            todo = f"{nearest(name, ['all', *all_datasets()])}, or write NAME=FILE"
            raise UsageError(f"there is no dataset {name!r}", todo=todo)
        return name, None
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}", name) or not path:
        raise UsageError(f"cannot add {given!r}", todo="write NAME=FILE, NAME in letters, digits and + - . _")
    return name, Path(path)


def _of_file(name: str, path: Path, source: str | None, images: bool, embedder: "Embedder | None") -> "Index":
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.base.keys import right_source
    from vlmt_cli.base.words import count
    from vlmt_cli.clean.own_index import index_of_file
    from vlmt_cli.commands.show import say

    if source and (todo := right_source(source)):
        raise UsageError(f"{source!r} is not a source of images", todo=todo)
    made, (unnamed, numbers, damaged) = index_of_file(name, path, source, images, embedder=embedder)
    if unnamed:
        todo = "" if source or not numbers else "; say with --source whose images their numbers are"
        say(f"{name}: {count(unnamed, 'image')} of the file cannot be named, and will not be recognised{todo}.")
    if damaged:
        what = count(damaged, "picture")
        say(f"{name}: {what} of the file cannot be unpacked, and will not be recognised; get the file again.")
    return made


def _of_datasets(data: Path, names: list[str], val: bool, options: "Options") -> "Index":
    from vlmt_cli.base.errors import DataError
    from vlmt_cli.base.words import count
    from vlmt_cli.clean.own_index import index_of_datasets
    from vlmt_cli.commands.clean_input import require_raw
    from vlmt_cli.commands.reading import examples_of
    from vlmt_cli.commands.show import say
    from vlmt_cli.datasets.clean_command import listed_files
    from vlmt_cli.datasets.crosswalks import BUILTIN_REST, IMAGES, VG_FILE
    from vlmt_cli.datasets.official import absent_tests, addresses, missing_files, raw_files, raw_folder
    from vlmt_cli.datasets.table import CROSSWALKS, DATASETS

    raw = require_raw(data)
    if "all" in names:
        names = [name for name in DATASETS if name != "conceptual_captions" and raw_files(data, name)] + names
    chosen = list(dict.fromkeys(name for name in [*names, *CROSSWALKS] if name != "all"))
    for name in (name for name in names if name in DATASETS):
        if not raw_files(data, name):
            origin = addresses(data, name)
            todo = f"put {listed_files({file: origin[file] for file in missing_files(data, name)})} below {raw}"
            raise DataError(f"there is no official file of {name}", where=raw_folder(data, name), todo=todo)
    with examples_of(data, chosen, options) as examples:
        notes = examples["vg_images"].manifest.notes
        if "vg_images" in names and BUILTIN_REST in notes:
            where, listed = raw_folder(data, "vg_images") / VG_FILE, count(notes[IMAGES], "image")
            say(f"{where} lists {listed}, and is a part: of the other images of Visual Genome it adds nothing.")
        return index_of_datasets(examples, val, {name: absent_tests(data, name) for name in chosen})


def _show(index: "Index", as_json: bool, names: "Sequence[str] | None" = None) -> None:
    """Show benchmarks, all or those of some names; what these lack, others of the index may have."""
    import json

    import msgspec

    from vlmt_cli.base.words import listed
    from vlmt_cli.clean.index_gaps import gaps_of, train2017_of
    from vlmt_cli.commands.show import stdout, table

    shown = {name: index.benchmarks[name] for name in (index.benchmarks if names is None else names)}
    gaps = {name: gaps_of(index, name) for name in shown}
    train = {name: train2017_of(index, name) for name in shown}
    if as_json:
        result = {
            name: {
                **msgspec.to_builtins(benchmark),
                "known": index.known[name],
                "in_coco_train2017": train[name],
                "lacks": gaps[name],
            }
            for name, benchmark in shown.items()
        }
        print(json.dumps(result, indent=2))
        return
    rows = [
        [
            name,
            benchmark.title,
            f"{index.known[name]:,}" + (f" of {benchmark.of:,}" if (benchmark.of or 0) > index.known[name] else ""),
            f"{train[name]:,}" if train[name] is not None else "",
            f"{benchmark.source}{f' ({benchmark.licence})' if benchmark.licence else ''}",
        ]
        for name, benchmark in shown.items()
    ]
    header = ["benchmark", "title", "images", "in train2017", "list from (licence)"]
    console = stdout()
    console.print(table(header, rows, "Benchmarks whose images are known", left=2))
    sentences: dict[str, list[str]] = {}
    for name, each in gaps.items():
        for gap in each:
            sentences.setdefault(gap, []).append(name)
    if sentences:
        console.print("\nWhat the index lacks, and what that could hide:", style="bold")
    for sentence, names in sentences.items():
        who = listed(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} others"
        console.print(f"  {who}: {sentence}.", soft_wrap=True)
