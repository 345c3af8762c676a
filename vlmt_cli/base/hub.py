"""The Hugging Face hub: whether it can be reached, found out without the retries of its client.

Without network, huggingface_hub retries each file for half a minute, and it has no setting for fewer retries.
"""

from pathlib import Path

SECONDS = 5.0


def reach(repository: str, name: str) -> None:
    """Look whether a file is in the hub's cache on this machine or on the hub itself, with a single short request.

    Args:
        repository: a hub id, such as ``bert-base-uncased``.
        name: a file in it.

    Raises:
        Exception: any error of the hub's client, where the file is in neither.
    """
    if not _is_cached(repository, name):
        _ask(repository, name)


def is_local(source: str, name: str) -> bool:
    """Say whether a model must be loaded from this machine alone: ``local_files_only`` of all that load from the hub.

    Args:
        source: a folder, or a hub id.
        name: a file of it that is always there.

    Returns:
        True for a folder, and for a hub id in the cache when the hub does not answer; else False.

    Raises:
        Exception: any error of the hub's client, where it does not answer and the file is not in the cache.
    """
    if Path(source).exists():
        return True
    try:
        _ask(source, name)
    except Exception:  # the hub client, its network client and its validators each have their own
        if _is_cached(source, name):
            return True
        raise
    return False


def _is_cached(repository: str, name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repository, name), str)


def _ask(repository: str, name: str) -> None:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    get_hf_file_metadata(hf_hub_url(repository, name), timeout=SECONDS)
