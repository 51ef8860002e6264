"""Sends events from a thread of its own: a backend that is down, or slow, costs a run no more than a line and a few seconds at its end."""

import queue
import threading
from collections.abc import Callable
from typing import Any

SECONDS_AT_THE_END = 5.0


class Sender:
    """Takes events at any time, and sends one after the other in their order. Two a stage wait at most, in memory."""

    def __init__(self, send: Callable[[Any], Any], close: Callable[[float], Any], say: Callable[[str], None]) -> None:
        """send: of one event; close: of the connection, at most so many seconds; say: takes a line about events that did not arrive."""
        self._send, self._close, self._say = send, close, say
        self._waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="openlineage", daemon=True)
        self._thread.start()

    def put(self, event: Any) -> None:
        """Returns at once."""
        self._waiting.put(event)

    def close(self) -> None:
        """Waits a while for what is not sent yet; what is not by then is lost."""
        self._waiting.put(None)
        self._thread.join(SECONDS_AT_THE_END)
        if self._thread.is_alive():
            self._say(f"the last events were not sent within {SECONDS_AT_THE_END:g} s")

    def _work(self) -> None:
        while (event := self._waiting.get()) is not None:
            try:
                self._send(event)
            except Exception as err:  # of the transport's own kind
                self._say(f"an event could not be sent ({type(err).__name__})")
        try:
            self._close(SECONDS_AT_THE_END)
        except Exception as err:
            self._say(f"the connection did not end well ({type(err).__name__})")
