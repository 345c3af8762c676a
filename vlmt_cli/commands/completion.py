"""What the shell completes beside options: names of datasets, tasks and recipes.

Each function takes what was typed so far and returns whole words; of a list with commas, its last part is completed.
"""


def datasets(incomplete: str) -> list[str]:
    """Complete datasets with commas."""
    from vlmt_cli.datasets.table import DATASETS

    return _last_of_list(incomplete, ["all", *DATASETS])


def tasks(incomplete: str) -> list[str]:
    """Complete tasks and task groups with commas."""
    from vlmt_cli.datasets.table import GROUPS, TASKS

    return _last_of_list(incomplete, ["all", *GROUPS, *TASKS])


def recipes(incomplete: str) -> list[str]:
    """Complete the recipes that come with the program."""
    from vlmt_cli.base.recipes import recipes_folder

    return [path.stem for path in sorted(recipes_folder().glob("*.yaml")) if path.stem.startswith(incomplete)]


def _last_of_list(incomplete: str, names: list[str]) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in names if name.startswith(last) and name not in before.split(",")]
