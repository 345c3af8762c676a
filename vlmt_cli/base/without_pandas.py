"""Arrow without pandas, for commands that hand pyarrow no object of pandas."""

import sys
from collections.abc import Sequence
from types import ModuleType

import pyarrow as pa


class _NoPandas:
    """Says of pandas that it is not installed."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Refuse one module; others are looked for elsewhere."""
        if name == "pandas":
            raise ModuleNotFoundError("pandas is left out here", name=name)


def leave_pandas_out() -> None:
    """Keep pyarrow from importing pandas, which takes as long as all else that a scan imports but numpy and pyarrow.

    For its first array pyarrow looks for pandas, so that it knows pandas' own objects afterwards. It looks once, and
    here it finds none; what needs pandas itself still imports it.
    """
    if "pandas" in sys.modules:
        return
    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.array([], pa.null())
    finally:
        sys.meta_path.remove(_NoPandas)
