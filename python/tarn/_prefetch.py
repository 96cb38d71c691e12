"""A thread that reads ahead, so that the network works while the program computes."""

from __future__ import annotations

import atexit
import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
_running: weakref.WeakSet[Prefetch[Any]] = weakref.WeakSet()


class Prefetch(Generic[Item]):
    """Runs an iterator in a thread and keeps up to `ahead` of its items.

    `interrupt` is called by `close` to wake the iterator where it waits for a network.
    """

    def __init__(self, items: Iterator[Item], ahead: int, interrupt: Callable[[], None]) -> None:
        self._queue: queue.Queue[tuple[str, Item | Exception | None]] = queue.Queue(ahead)
        self._interrupt = interrupt
        self._stopped = threading.Event()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._read, args=(items,), name="tarn-prefetch", daemon=True)
        _running.add(self)
        self._thread.start()

    def _read(self, items: Iterator[Item]) -> None:
        try:
            for item in items:
                if not self._put(("item", item)):
                    return
            self._put(("end", None))
        except Exception as error:  # it is raised where the items are taken
            self._put(("error", error))

    def _put(self, entry: tuple[str, Item | Exception | None]) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[Item]:
        try:
            while True:
                kind, value = self._queue.get()
                if kind == "end":
                    return
                if kind == "error":
                    assert isinstance(value, Exception)
                    raise value
                yield value  # type: ignore[misc]
        finally:
            self.close()

    def close(self) -> None:
        """Ends the thread and forgets what it has read. In a forked child there is no thread to end."""
        if self._pid != os.getpid():
            return
        self._stopped.set()
        self._interrupt()
        self._thread.join(timeout=5)


@atexit.register
def _close_all() -> None:
    # A thread that is inside gRPC when the interpreter ends would end the process with an abort.
    for running in list(_running):
        running.close()
