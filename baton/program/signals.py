"""SIGINT and SIGTERM as the request to stop a run that has no worker."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from baton.program.control import Control
from baton.program.protocol import Stop

INTERRUPTED = "interrupted"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TEXT = b"\nbaton: saves at the next step, then stops. Press Ctrl-C again to end at once, without a save.\n"


class StopSignals:
    """Until `restore`, the first SIGINT or SIGTERM is a request to stop. A second SIGINT does what it did before.

    Python allows handlers only in the main thread. A run that another thread has started does not handle signals.
    """

    def __init__(self, control: Control) -> None:
        self._control = control
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for one in _SIGNALS:
                # A process that the shell started in the background ignores Ctrl-C, which is meant for others.
                if signal.getsignal(one) != signal.SIG_IGN:
                    self._before[one] = signal.signal(one, self._handle)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._control.stop is not None and number == signal.SIGINT:
            self.restore()
            signal.raise_signal(number)
            return
        self._control.request_stop(Stop(INTERRUPTED))
        os.write(2, _TEXT)

    def restore(self) -> None:
        """Sets the handlers of before. A handler that the program has set meanwhile stays."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, before in self._before.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, before if before is not None else signal.SIG_DFL)
        self._before.clear()
