"""Run commands, one after another, in a process where importing what is heavy fails; print what came of each.

python light.py '[["train", "--set", "training.gpa=1"], ...]'
"""

import contextlib
import io
import json
import sys

from commands.running import run

HEAVY = {"torch", "transformers", "lightning_fabric", "spacy", "tokenizers"}


class Refuse:
    """Refuses to import what is heavy."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise AssertionError(f"imports {name}")


sys.meta_path.insert(0, Refuse())
results = []
for arguments in json.loads(sys.argv[1]):
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        code = run(*arguments)
    results.append([code, err.getvalue()])
print(json.dumps(results))
