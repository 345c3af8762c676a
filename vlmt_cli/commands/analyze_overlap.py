"""``vlmt analyze overlap``: table 1 for any combination of datasets."""

from vlmt_cli.commands.options import (
    DATA,
    Available,
    DataFolder,
    DataKeys,
    Datasets,
    Identity,
    ImageLists,
    Json,
    Paper,
    RecipeName,
    check_data,
)


def overlap(
    datasets: Datasets = None,
    available: Available = False,
    image_list: ImageLists = None,
    identity: Identity = None,
    data: DataFolder = DATA,
    recipe: RecipeName = "data",
    keys: DataKeys = None,
    paper: Paper = False,
    as_json: Json = False,
) -> None:
    """Show which test images are in which training images (table 1), and in those of any combination of datasets.

    Examples:

      vlmt analyze overlap --paper

      vlmt analyze overlap --datasets vqa,coco,refcoco --image-list bottom_up:detector=detector_train_images.txt

      vlmt analyze overlap --datasets all,conceptual_captions --available
    """
    import json

    from vlmt_cli.analysis.relations.overlap import mixture
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.base.recipes import load_recipe
    from vlmt_cli.clean.overlap import compare_splits
    from vlmt_cli.clean.removal import LAST_RELATION
    from vlmt_cli.commands.clean_input import names_of, parse_image_list, read_splits, require_files, warnings_of
    from vlmt_cli.commands.reading import examples_of
    from vlmt_cli.commands.show import say, stdout, table
    from vlmt_cli.datasets.options import Options
    from vlmt_cli.datasets.table import CROSSWALKS, short_title
    from vlmt_cli.paper import table as paper_table

    if identity not in (None, *LAST_RELATION):
        raise UsageError(f"there is no identity {identity!r}", todo=f"choose {' or '.join(LAST_RELATION)}")
    names = names_of(datasets or "all")
    lists = [parse_image_list(given) for given in image_list or ()]
    options = load_recipe(recipe, Options, keys or ())
    check_data(data)
    missing = require_files(data, names, available)
    with examples_of(data, [*names, *CROSSWALKS], options) as examples:
        splits, links = read_splits(examples, lists)
        matrix = mixture(compare_splits(splits, links), identity or "strict")
        for warning in warnings_of(splits, links, examples, names, missing):
            say(f"Warning: {warning}")
    if as_json:
        plain = {test: {column: vars(cell) for column, cell in row.items()} for test, row in matrix.items()}
        print(json.dumps(plain, indent=2))
        return
    published = {row["test_of"]: row for row in paper_table("table1_overlap")} if paper else {}
    columns = list(dict.fromkeys(column for row in matrix.values() for column in row))
    rows = []
    for test, row in matrix.items():
        cells = [f"{row[column].percent:.0f}" if column in row else "" for column in columns]
        rows.append([short_title(test), *cells])
        if test in published:
            rows.append(["  the paper", *(published[test].get(column, "") for column in columns)])
    title = "Test images of each row that are in each column's train and val images, in %"
    stdout().print(table(["test images of", *map(short_title, columns)], rows, title))
