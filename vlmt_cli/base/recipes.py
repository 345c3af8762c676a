"""Recipes: YAML files with every choice, and ``--set key=value`` to override one.

A recipe that begins with ``base: other`` says only in what it differs from that one. An unknown key is an error that
offers the nearest right one.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from vlmt_cli.base.documents import parse_yaml, read_yaml
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.schema import Model, check_version, nearest, parse, version_of

RECIPE_VERSION = 1
"""Of ``recipe.yaml`` in a run, in its key ``version``; recipes without it are of version 1."""


def recipes_folder() -> Path:
    """Return the folder of the recipes that come with the program, installed or in a checkout."""
    installed = Path(str(files("vlmt_cli"))) / "recipes"
    return installed if installed.is_dir() else installed.parents[1] / "recipes"


def load_recipe(
    name: str, model: type[Model], keys: Sequence[str] = (), scale: str | None = None, **values: Any
) -> Model:
    """Read a recipe and override keys of it.

    Args:
        name: a recipe that comes with the program (``data``), or the path of a YAML file.
        model: what the recipe must be.
        keys: overrides, ``vqa.minval=5000``; the value is read as YAML.
        scale: another recipe, laid over this one, such as ``mini``.
        values: top-level keys that the command line gives, laid over both before ``keys``.

    Raises:
        UsageError: there is no such recipe or key, or a value is not of its kind.
        DataError: the file is not valid YAML.
    """
    content, path = _read(name, ())
    if scale is not None:
        content = _laid_over(content, _read(scale, ())[0])
    content = _laid_over(content, values)
    for override in keys:
        _apply(content, override)
    return parse(model, content, path.name, UsageError)


def _read(name: str, derived: tuple[str, ...]) -> tuple[dict[str, Any], Path]:
    """Read a recipe's keys, laid over those of the recipes that it derives from."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else recipes_folder() / f"{name}.yaml"
    try:
        values = read_yaml(path) or {}
    except FileNotFoundError as error:
        known = [recipe.stem for recipe in sorted(recipes_folder().glob("*.yaml"))]
        raise UsageError(f"there is no recipe {name!r}", todo=nearest(name, known)) from error
    if not isinstance(values, dict):
        raise DataError("holds no keys and values", where=path)
    check_version(version_of(values) or 1, RECIPE_VERSION, path)
    values.pop("version", None)  # of a run's recipe
    base = values.pop("base", None)
    if base is None:
        return values, path
    if name in derived:
        raise UsageError(f"the recipe derives from itself, over {' and '.join(derived)}", where=path)
    inherited = _read(str(base), (*derived, name))[0]
    inherited.pop("reproduces", None)  # another experiment than the one that it derives from, unless it says so itself
    return _laid_over(inherited, values), path


def _laid_over(values: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with the keys of ``over``; sections are merged, everything else is replaced."""
    merged = dict(values)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _laid_over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {override!r} has no key and value", todo="write it as --set key=value")
    *parents, last = key.split(".")
    section = values
    for parent in parents:
        section = section.setdefault(parent, {})
        if not isinstance(section, dict):
            raise UsageError(f"--set {override!r}: {parent!r} has no keys of its own")
    try:
        section[last] = parse_yaml(value, f"--set {override!r}")
    except DataError as error:
        raise UsageError(error.what, where=error.where) from error
