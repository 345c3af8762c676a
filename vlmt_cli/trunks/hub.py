"""The Hugging Face hub: checks whether a file can be downloaded, without retries."""

SECONDS = 5.0


def reach(repository: str, name: str) -> None:
    """Look whether a file is in the hub's cache on this machine or on the hub itself, with a single short request.

    The hub's client retries a download for half a minute when there is no network. This fails at once instead, with
    any error of that client.

    Args:
        repository: a hub id, such as ``bert-base-uncased``.
        name: a file in it.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    if not isinstance(try_to_load_from_cache(repository, name), str):
        get_hf_file_metadata(hf_hub_url(repository, name), timeout=SECONDS)
