"""Run commands, one after another, in a process that has the light core alone; print what came of each.

python light.py '[["train", "--set", "training.gpa=1"], ...]'

What ``pip install 'vlmt[train]'`` adds cannot be imported here.
"""

import contextlib
import io
import json
import sys

from commands.running import run

from vlmt_cli.app import TRAIN_EXTRA


class Missing:
    """Answers for the packages of the extra as if they were not installed."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in TRAIN_EXTRA:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Missing())
results = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(*arguments)
    results.append([code, err.getvalue(), out.getvalue()])
print(json.dumps(results))
