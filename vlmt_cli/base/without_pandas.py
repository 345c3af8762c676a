"""Arrow without pandas, for commands that hand pyarrow no object of pandas."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType


class _NoPandas:
    """Says of pandas that it is not installed."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Refuse one module; others are looked for elsewhere."""
        if name == "pandas":
            raise ModuleNotFoundError("pandas is left out here", name=name)


@contextmanager
def without_pandas() -> Iterator[None]:
    """Keep pandas from being imported, which takes as long as all else that a scan imports but numpy and pyarrow.

    Also a decorator: ``@without_pandas()``.

    pyarrow looks for pandas whenever it makes an array, so that it knows pandas' own objects.
    """
    sys.meta_path.insert(0, _NoPandas)
    try:
        yield
    finally:
        sys.meta_path.remove(_NoPandas)
