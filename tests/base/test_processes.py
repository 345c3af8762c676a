"""Workers ignore Ctrl-C, and none outlives the process that started it; handlers are put back."""

import os
import signal
import subprocess
import sys
import time

from vlmt_cli.base.processes import handling

PARENT = """
import gc, os, signal, time
from vlmt_cli.base.processes import pool_of

def pid(_):
    os.kill(os.getpid(), signal.SIGINT)
    return os.getpid() if gc.get_freeze_count() else 0  # what it shares with others is never collected

if __name__ == "__main__":
    pool = pool_of(1)
    print(pool.submit(pid, 0).result(), flush=True)
    pool.submit(time.sleep, 600)
    time.sleep(600)
"""


SERVED = """
import sys, time
from vlmt_cli.base.processes import fork_server, pool_of

if __name__ == "__main__":
    try:
        try:
            pool_of(1, context=fork_server("imports_slowly")).submit(int)
        except EOFError:  # Ctrl-C reached the server first, and is on its way
            time.sleep(30)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def runs(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_worker_ignores_ctrl_c_and_ends_when_its_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        assert runs(worker)
        parent.kill()
    deadline = time.monotonic() + 30
    while runs(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not runs(worker)


def test_ctrl_c_ends_the_server_of_forks_without_a_word_while_it_imports(tmp_path):
    (tmp_path / "imports_slowly.py").write_text("import time; print('imports', flush=True); time.sleep(600)")
    (tmp_path / "parent.py").write_text(SERVED)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, tmp_path / "parent.py"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=env, start_new_session=True, **pipes) as parent:
        assert parent.stdout.readline() == "imports\n"
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.communicate(timeout=30) == ("", "")  # which the server would hold open
    assert parent.returncode == 130


def test_handlers_are_put_back_also_after_an_error():
    before, seen = signal.getsignal(signal.SIGUSR1), []
    try:
        with handling({signal.SIGUSR1: lambda number, _: seen.append(number)}):
            signal.raise_signal(signal.SIGUSR1)
            raise ValueError
    except ValueError:
        pass
    assert seen == [signal.SIGUSR1] and signal.getsignal(signal.SIGUSR1) is before
