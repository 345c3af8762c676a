"""Imported, it lets Ctrl-C end this process at once: the first import of the server of ``processes.fork_server``.

Python's server ignores Ctrl-C once it serves. Before that it imports for seconds, and would print a traceback;
it still does in the tenth of a second in which it starts.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)
