"""Files of weights whose headers promise more than any model has are refused before they are unpacked."""

import json
import struct
import zipfile

import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.features.tensor_files import read_safetensors, read_torch_file
from vlmt_cli.tasks.text import TextEncoder


def test_a_header_of_a_million_tensors(tmp_path):
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"t{number}": entry for number in range(100_000)}).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(DataError, match=r"its header has \d,\d+,\d+ bytes, too many for a model"):
        read_safetensors(tmp_path / "w.safetensors")


def test_a_name_that_steers_a_terminal_is_escaped(tmp_path):
    header = json.dumps({"a": {"dtype": "\x1b[31m", "shape": [], "data_offsets": [0, 0]}}).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(DataError) as caught:
        read_safetensors(tmp_path / "w.safetensors")
    assert str(caught.value).isprintable()


def test_a_compressed_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", bytes(1 << 20))
    with pytest.raises(DataError, match=r"is a compressed zip, which torch\.save never writes"):
        read_torch_file(tmp_path / "w.pt")


@pytest.mark.parametrize("text", ["", "null", "[]", '{"a'])
def test_what_is_not_a_tokenizer(text):
    with pytest.raises(DataError, match="is not a tokenizer"):
        TextEncoder(text)
