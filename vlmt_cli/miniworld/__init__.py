"""A synthetic world with all the datasets' official files, from one seed."""

from vlmt_cli.miniworld.sizes import Sizes
from vlmt_cli.miniworld.world import write_world

__all__ = ["Sizes", "write_world"]
