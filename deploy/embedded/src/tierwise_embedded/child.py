"""A service as a child of `tierwise up`: the command `tierwise`, ended when its parent ends.

The parent holds the other end of standard input and never writes to it; the kernel closes it however the parent dies.
Run as `python -m tierwise_embedded.child COMMAND...`.
"""

import os
import signal
import sys
import threading
import time

from tierwise.cli import main

_ORDERLY_S = 10.0


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_ORDERLY_S)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv[0] = "tierwise"
    main()
