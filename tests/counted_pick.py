"""``cryofix.pick`` that notes each micrograph whose result it has kept: LOG, then its overrides."""

import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from cryofix.picking import jobs, picked

note = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def write_and_note(job: Any, *rest: Any) -> None:
    picked.write_result(job, *rest)
    os.write(note, f"{Path(job.source).name}\n".encode())


if __name__ == "__main__":
    from cryofix.pick import main

    with mock.patch.object(jobs, "write_result", write_and_note):
        main()
