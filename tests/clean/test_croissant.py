"""croissant.json, read by the reference implementation."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from vlmt_cli.clean.croissant import files_below, write_croissant

pytestmark = pytest.mark.skipif(find_spec("mlcroissant") is None, reason="mlcroissant is not installed")
READ = """
import sys, mlcroissant
metadata = mlcroissant.Dataset(jsonld=sys.argv[1]).metadata
print(metadata.ctx.issues.errors or metadata.conforms_to, [each.sha256 for each in metadata.distribution])
"""


def test_mlcroissant_reads_it_as_1_1_without_an_error(tmp_path):
    (tmp_path / "a b.json").write_text("[]")
    write_croissant(tmp_path, "a name", "What it is.", files_below(tmp_path), {"raw/x y.json": 64 * "0"})
    path = tmp_path / "croissant.json"
    done = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sha256 = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
    assert done.stdout.strip() == f"['http://mlcommons.org/croissant/1.1'] ['{sha256}']"
    assert "not standard" not in done.stderr
    assert json.loads(path.read_text())["prov:wasDerivedFrom"][0]["@id"] == "raw/x%20y.json"
