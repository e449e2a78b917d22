"""Writing files so that a reader never sees half of one, and saying why one cannot be written."""

import errno
import io
import json
import os
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, SoftFileLock

# POSIX has no way to read the umask without setting it, so it is read before there are threads.
_UMASK = os.umask(0)
os.umask(_UMASK)

TEMPORARY = ".cryofix-"
A_DAY = 86_400.0  # seconds after which a temporary file in a folder that many share is nobody's
NO_FLOCK = (errno.ENOLCK, errno.EOPNOTSUPP)  # what network file systems answer that have none

REMEDIES = {
    errno.ENOSPC: "make room there or choose another folder, and start again",
    errno.EDQUOT: "make room within your quota or choose another folder, and start again",
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f), and start again",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "choose one that you may use, or change its permissions",
    errno.EPERM: "choose one that you may use, or change its permissions",
    errno.ENOENT: "check its name",
    errno.EISDIR: "choose a name that is no folder's",
    errno.ENOTDIR: "choose a folder whose path does not lead through a file",
    errno.EEXIST: "choose a name that no file has",
    errno.ENOTEMPTY: "choose a name that is not taken",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit on open files (ulimit -n), and start again",
}


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it onto ``path`` when the block succeeds.

    The content is on the disk before the name is, so that a crash of the machine leaves the old
    file or the new one. The temporary name keeps the suffix of ``path``, because several writers
    choose the format by it. When the block raises, the temporary file is removed and ``path`` is
    left as it was.

    Raises OSError when the system refuses; its ``filename`` is ``path``, whichever library was
    writing.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY, suffix=path.suffix)
        temporary = Path(name)
        os.close(handle)
        yield temporary
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_UMASK)
        _sync(temporary)
        temporary.replace(path)
        with suppress(OSError):  # some file systems cannot do it for folders
            _sync(path.parent)
    except Exception as error:
        refusal = _refusal(error)
        if refusal is None:
            raise
        raise OSError(refusal.errno, refusal.strerror, str(path)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refusal(error: BaseException | None) -> OSError | None:
    """Return the system's refusal to write a file that an exception is, or comes from.

    torch and zipfile hide it behind errors of their own, NumPy says only how many numbers were
    written, and a refused write names no file.
    """
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    if error is not None and error.errno is None and "requested and" in str(error):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if error is None or error.errno is None or isinstance(error, BrokenPipeError):
        return None
    return error if error.filename is None or TEMPORARY in str(error.filename) else None


def write_json(path: str | Path, content: Any) -> None:
    """Write ``content`` as indented JSON, atomically; NaN and infinity are refused."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def remove_leftovers(folder: Path, *parts: str, older_than_s: float = 0.0) -> None:
    """Remove the temporary files that killed processes have left in a folder.

    ``parts`` are patterns of further folders below it; the folders in them are not searched. Only
    who holds the folder's lock can say that nobody writes in it; elsewhere files have to be older
    than :data:`A_DAY`.
    """
    for part in ("", *(f"{part}/" for part in parts)):
        for path in folder.glob(f"{part}{TEMPORARY}*"):
            with suppress(OSError):  # another process has done it, or nothing can be written here
                if time.time() - path.stat().st_mtime >= older_than_s:
                    path.unlink()


@contextmanager
def locked(path: Path, timeout_s: float = -1) -> Iterator[None]:
    """Hold a lock file among all processes that name it; a dead owner's is free.

    Where the file system has no locks of its own, the existence of a second file is the lock; the
    death of its owner is then noticed only on the owner's machine. A negative ``timeout_s`` waits
    for ever. Raises filelock.Timeout when another process holds it all that time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock: BaseFileLock = FileLock(path, timeout_s)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in NO_FLOCK:
            raise
        lock = SoftFileLock(path.with_name(f"{path.name}.soft"), timeout_s)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _being_written(error: OSError) -> str | None:
    """Return the name of the open file in the function that failed.

    The system names no file when it refuses to write, and Hydra's writing adds no name.
    """
    innermost = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][-1:]
    for value in innermost[0].f_locals.values() if innermost else ():
        if isinstance(value, io.IOBase) and isinstance(name := getattr(value, "name", None), str):
            return name
    return None


def explain_os_error(error: OSError) -> str:
    """Return one sentence for what the operating system refused: the path, why, and what to do."""
    names = (error.filename or _being_written(error), error.filename2)
    paths = [os.fsdecode(name) for name in names if isinstance(name, str | bytes)]
    reason = (error.strerror or str(error) or type(error).__name__).rstrip(".")
    remedy = REMEDIES.get(error.errno or 0, "check the file system it is on, and start again")
    return f"{' or '.join(paths) or 'a file'} cannot be used: {reason}; {remedy}"
