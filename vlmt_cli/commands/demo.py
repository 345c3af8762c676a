"""``vlmt demo``: the whole pipeline on a drawn world."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[Path, typer.Option(help="Where the world and everything made of it go.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="The same seed draws the same world.")] = 0,
    scale: Annotated[float, typer.Option(min=0.01, help="Size of the world; 1 has some 25,000 examples.")] = 1.0,
) -> None:
    """Draw a small world with all twelve datasets in their official formats, and run the pipeline on it.

    Example:

      vlmt demo --folder demo
    """
    from vlmt_cli.base.errors import UsageError, VlmtError
    from vlmt_cli.commands.clean import clean
    from vlmt_cli.commands.extract import extract
    from vlmt_cli.commands.pack import pack
    from vlmt_cli.commands.show import progress, say
    from vlmt_cli.miniworld.sizes import Sizes
    from vlmt_cli.miniworld.world import write_world

    say(f"Drawing a world with the official files of all datasets into {folder}")
    try:
        with progress("Drawing") as update:
            write_world(folder, Sizes().scaled(scale), seed, update)
    except ValueError as error:
        raise UsageError(str(error), where="--scale") from error
    except FileExistsError as error:
        raise UsageError(str(error), where="--folder") from error
    except OSError as error:
        raise VlmtError(f"cannot be written ({error.strerror or error})", where=folder) from error
    say(f"$ vlmt clean --datasets all --data {folder}")
    clean(data=folder, datasets="all")
    say(f"$ vlmt extract --extractor pixels --data {folder}")
    extract(data=folder, extractor="pixels")
    say(f"$ vlmt pack --hard-negatives {folder}/features/pixels --data {folder}")
    pack(folder / "features" / "pixels", hard_negatives=True, data=folder)
