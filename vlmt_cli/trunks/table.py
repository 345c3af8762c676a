"""The trunks: an explicit dict, a line each.

A trunk is a file beside this one, which defines ``Config`` (a ``config.TrunkConfig``), ``PRESETS`` (the sizes ``base``,
``tiny`` and ``mini``) and ``Trunk`` (a module, as ``encoded.Trunk`` says). It is imported when it is asked for, so that
naming a trunk costs nothing.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from vlmt_cli.base.errors import UsageError
from vlmt_cli.base.schema import nearest, parse
from vlmt_cli.trunks.config import PRESETS, TrunkConfig

TRUNKS = {
    "vilbert": "vilbert",
    "lxmert": "lxmert",
    "visualbert": "visualbert",
    "uniter": "uniter",
}
"""The file of each trunk."""


class _Module(Protocol):
    Config: type[TrunkConfig]
    PRESETS: dict[str, TrunkConfig]
    Trunk: Any


def trunk_module(kind: str) -> _Module:
    """Return the file of a trunk.

    Raises:
        ValueError: there is no such trunk.
    """
    if kind not in TRUNKS:
        raise ValueError(f"there is no trunk {kind!r}; {nearest(kind, TRUNKS)}")
    return cast(_Module, import_module(f"{__package__}.{TRUNKS[kind]}"))


def make_trunk(config: TrunkConfig) -> Any:
    """Make a trunk of drawn weights."""
    return trunk_module(config.kind).Trunk(config)


def trunk_config(kind: str, preset: str = "base", **changes: Any) -> TrunkConfig:
    """Return a trunk's preset, with changes.

    Raises:
        UsageError: the changes make no possible model.
    """
    module = trunk_module(kind)
    assert preset in PRESETS
    values = laid_over(module.PRESETS[preset].model_dump(), changes)
    return parse(module.Config, values, f"model {preset}", UsageError, todo="correct the config")


def read_trunk(values: Any) -> Any:
    """Check a trunk's config in a file; those of earlier versions name no kind and are ViLBERT's.

    Raises:
        ValueError: there is no such trunk, or its config is wrong.
    """
    if not isinstance(values, dict):
        return values
    kind = values.get("kind", "vilbert")
    if not isinstance(kind, str):
        raise ValueError("kind: is not a name")
    return trunk_module(kind).Config.model_validate(values)


def laid_over(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with the keys of ``over``, sections merged."""
    merged = dict(values)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = laid_over(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def parse_trunk(values: dict[str, Any], where: object) -> TrunkConfig:
    """Check a trunk's config; raises a UsageError that names the first key that is wrong."""
    kind = values.get("kind", "vilbert")
    return parse(trunk_module(kind).Config, values, where, UsageError, todo="correct the config")
