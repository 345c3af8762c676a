"""vlmt: 12-in-1 multi-task vision and language learning, from clean data to understanding."""

from importlib.metadata import version

__version__ = version("vlmt")
