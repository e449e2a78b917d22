"""Picking while a microscope runs: what is there, then what comes."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from cryofix.errors import CryofixError
from cryofix.picking.planning import Arrivals
from cryofix.picking.session import Advance, Session
from cryofix.reporting.console import say

PAUSE = 10.0
"""Writing everything again has to take less than one part in so many of the time."""


def watch(
    session: Session,
    find: Callable[[], set[Path]],
    start: Callable[[str, int, int], Advance],
    console: Console,
    keys: Mapping[str, Any],
) -> None:
    """Pick what ``find`` finds until Ctrl-C, a stop file, or a time without anything new.

    Files of picks, tables and the page are written again when all that is there has been picked,
    or from time to time; the last time is left to the caller. ``start`` is that of
    :meth:`Session.run`, and ``keys`` are those of ``pick.yaml``.

    Raises CryofixError if a number in ``keys`` makes no sense, or what has come cannot be written.
    """
    for key in ("every_seconds", "steady_seconds", "idle_minutes"):
        if keys[key] is not None and not keys[key] >= 0:
            raise CryofixError(f"{key}={keys[key]} must not be negative")
    idle = None if keys["idle_minutes"] is None else 60 * keys["idle_minutes"]
    arrivals = Arrivals(keys["steady_seconds"])
    say(
        console,
        f"watching {keys['micrographs']}; output in {session.folder}; Ctrl-C ends it, or the file"
        f" {session.stop_file}",
    )
    last = time.monotonic()  # when something new was there
    next_write, picked, unwritten = 0.0, 0, False
    with suppress(KeyboardInterrupt):  # the usual way to end it
        while not session.stopped:
            new = arrivals.new(find())
            if new:
                session.add(new)
                picked, unwritten = picked + len(session.left), True
                session.run(start if len(new) > 1 and not session.seconds else None)
            if new or arrivals.waiting:
                last = time.monotonic()
            if unwritten and (not arrivals.waiting or time.monotonic() >= next_write):
                began = time.monotonic()
                summary = session.write()
                now = time.monotonic()
                next_write = now + PAUSE * (now - began)
                failed = f", {len(summary.failures)} failed" if summary.failures else ""
                total = f"{len(summary.rows)} micrographs with {summary.picks} picks{failed}"
                say(console, f"{time.strftime('%H:%M:%S')}  {picked} new; {total}")
                picked, unwritten = 0, False
            if idle is not None and time.monotonic() - last >= idle:
                break
            time.sleep(keys["every_seconds"])
