"""Without network, whatever loads from the hub fails at once, and takes from the cache what is there."""

from types import SimpleNamespace

import huggingface_hub
import pytest

from vlmt_cli.base import hub
from vlmt_cli.base.errors import DataError
from vlmt_cli.features.networks import load_network
from vlmt_cli.runs.tokenizer import read_tokenizer
from vlmt_cli.trunks import bert


@pytest.fixture
def cached(monkeypatch):
    """The files that are in the cache of a machine without network."""
    files = set()

    def offline(url, timeout):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", offline)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda hub_id, name: name if name in files else None)
    return files


@pytest.mark.parametrize(
    "load",
    [
        lambda hub_id: load_network("AutoModel", hub_id, "cpu"),
        lambda hub_id: read_tokenizer(hub_id, 9),
        lambda hub_id: bert.load_bert(SimpleNamespace(config=None, in_bert={"": ""}), source=hub_id),
    ],
    ids=["network", "tokenizer", "bert"],
)
def test_without_network_it_fails_with_one_line_and_no_retries(cached, load, capsys):
    with pytest.raises(DataError) as error:
        load("owner/of-no-model")
    assert "no network" in str(error.value) and "\n" not in str(error.value)
    cached |= {"config.json", "tokenizer.json"}  # and nothing else, as after a broken download
    with pytest.raises(DataError) as error:
        load("owner/of-no-model")
    assert "\n" not in str(error.value) and capsys.readouterr() == ("", "")


def test_what_is_here_is_loaded_from_here(cached, tmp_path):
    assert hub.is_local(str(tmp_path), "config.json")
    with pytest.raises(OSError, match="no network"):
        hub.is_local("owner/model", "config.json")
    cached.add("config.json")
    assert hub.is_local("owner/model", "config.json")
    hub.reach("owner/model", "config.json")
