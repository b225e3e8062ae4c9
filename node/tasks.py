"""The one way to start a task: the reference is kept, a failure is logged, a critical failure stops the process.

asyncio itself keeps only weak references to tasks and reports an exception when the task object dies, which may be
never (reliability paper, pitfall 14). A `TaskGroup` fits where a scope waits for its tasks; this is for the rest.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

T = TypeVar("T")
OnCriticalFailure = Callable[[str, BaseException], None]

EXIT_CRITICAL_TASK: Final = 70
"""Exit code after a critical task failed: EX_SOFTWARE of BSD sysexits."""

CANCEL_AGAIN_S: Final = 0.2

log = logging.getLogger(__name__)
_running: set[asyncio.Task[Any]] = set()


def exit_process(name: str, failure: BaseException) -> None:
    """End the process at once: nothing may be written after an invariant broke."""
    log.critical("critical task %s failed (%r): the process ends", name, failure)
    logging.shutdown()
    os._exit(EXIT_CRITICAL_TASK)


def spawn(
    work: Coroutine[Any, Any, T],
    name: str,
    *,
    critical: bool = False,
    on_critical: OnCriticalFailure = exit_process,
) -> asyncio.Task[T]:
    """Run `work` as a task named `name`.

    Args:
        work: what to run; it belongs to the running loop.
        name: shown in logs.
        critical: the node cannot go on without it; when it fails, `on_critical(name, failure)` is called.
        on_critical: what a critical failure does; ends the process unless the caller can do better.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    _running.add(task)

    def ended(done: asyncio.Task[T]) -> None:
        _running.discard(done)
        if done.cancelled():
            return
        failure = done.exception()
        if failure is None:
            return
        log.error("task %s failed", name, exc_info=failure)
        if critical:
            on_critical(name, failure)

    task.add_done_callback(ended)
    return task


async def cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` and wait until every one has ended; failures were logged where they happened.

    A cancellation is repeated until it is heeded: `asyncio.wait_for` of Python 3.11 forgets one that comes in the same
    turn as the result (python/cpython issue 86296), and a loop around it would then go on for ever.
    """
    waiting = {task for task in tasks if task is not asyncio.current_task()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_S)
