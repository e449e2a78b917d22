"""cryoSPARC's ``.cs``: a NumPy structured array of particle locations.

Fields: ``uid``, ``location/micrograph_uid``, ``location/exp_group_id``,
``location/micrograph_path``, ``location/micrograph_shape`` [ny, nx], ``location/center_x_frac``,
``location/center_y_frac`` (fractions of width and height), ``location/min_dist_A``, and for
scores ``pick_stats/ncc_score``. Programs disagree on where y counts from, so the user says.

Nothing is ever unpickled: paths are text of fixed width here, and files with Python objects in
them are refused.

Source: cryosparc-tools' documentation.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryofix.errors import CryofixError, explained
from cryofix.files import atomic_write
from cryofix.formats.columns import to_particles
from cryofix.formats.names import CRYOSPARC_UID
from cryofix.formats.npy import MAGIC, read_npy_header
from cryofix.formats.option_keys import option_key
from cryofix.formats.tables import Entry, Format, Table, split_by_name

_PATH, _GROUP = "location/micrograph_path", "location/exp_group_id"
_UID, _SHAPE = "location/micrograph_uid", "location/micrograph_shape"
_X, _Y = "location/center_x_frac", "location/center_y_frac"
_DISTANCE, _SCORE = "location/min_dist_A", "pick_stats/ncc_score"
_SCORES = (_SCORE, "pick_stats/score")
_WRITTEN = {"uid": "<u8", _UID: "<u8", _GROUP: "<u4", _PATH: "", _SHAPE: "(2,)<u4"}
_WRITTEN |= {_X: "<f4", _Y: "<f4", _DISTANCE: "<f4"}


def read_cryosparc(path: Path) -> list[Table]:
    """Read one file; x and y are fractions of the micrograph's width and height.

    Raises CryofixError if the file holds Python objects, is of the compressed kind, or lacks the
    locations.
    """
    array = _load(path)
    names = array.dtype.names or ()
    if missing := [name for name in (_PATH, _X, _Y) if name not in names]:
        raise CryofixError(
            f"{path} lacks {', '.join(missing)}: give the file with the particles' locations "
            "(for a refinement that is its passthrough file)"
        )
    score = next((name for name in _SCORES if name in names), "")
    columns = {name: _field(array, name, path) for name in (_X, _Y, score) if name}
    particles = to_particles(columns, path, _X, _Y, score=score)
    return split_by_name(_names(array, path), particles, path, relative=True)


def write_cryosparc(path: Path, entries: Sequence[Entry], exposure_group: int = 1) -> list[Path]:
    """Write one ``.cs`` of all particles; ``exposure_group`` is its ``location/exp_group_id``.

    uids are hashes of the micrograph's path and the particle's number, so that writing twice
    gives the same file; a micrograph whose name starts with cryoSPARC's own uid keeps it.
    ``location/min_dist_A`` is the mean diameter where diameter and pixel size are known, else 0.
    Where only some particles have scores, the others' are 0.
    """
    if not (isinstance(exposure_group, int) and 0 <= exposure_group < 2**32):
        raise CryofixError(
            f"{option_key('exposure_group')}={exposure_group} has to be a whole number from 0 to "
            "2^32 - 1"
        )
    paths = [str(entry.info.path).encode() for entry in entries]
    fields = _WRITTEN | {_PATH: f"S{max(map(len, paths), default=1)}"}
    if any(entry.particles.score is not None for entry in entries):
        fields[_SCORE] = "<f4"
    array = np.zeros(sum(len(entry.particles) for entry in entries), list(fields.items()))
    start = 0
    for entry, its_path in zip(entries, paths, strict=True):
        each = entry.particles
        part = array[start : start + len(each)]
        start += len(each)
        rows, columns = entry.info.shape
        part["uid"] = [_hash(its_path + b"/%d" % number) for number in range(len(each))]
        own = CRYOSPARC_UID.match(entry.info.path.name)
        uid = int(own.group(1)) if own else 0
        part[_UID] = uid if 0 < uid < 2**64 else _hash(its_path)
        part[_GROUP] = exposure_group
        part[_PATH] = its_path
        part[_SHAPE] = rows, columns
        part[_X] = each.x / columns
        part[_Y] = each.y / rows
        known = np.empty(0) if each.diameter_px is None else each.diameter_px
        known = known[~np.isnan(known)]
        if len(known) and entry.info.pixel_size_angstrom:
            part[_DISTANCE] = known.mean() * entry.info.pixel_size_angstrom
        if each.score is not None:
            part[_SCORE] = np.nan_to_num(each.score)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    return [path]


def _load(path: Path) -> NDArray[Any]:
    what = f"{path} cannot be read as a .cs file"
    with explained(what, "it is damaged", ValueError, OSError), path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise CryofixError(
                f"{path} is no NumPy array: if it is one of cryoSPARC's compressed files, "
                "save it again with cryosparc-tools, Dataset.load(...).save(...)"
            )
        file.seek(0)
        header = read_npy_header(file, path.stat().st_size)
        if header.dtype.hasobject:
            raise CryofixError(
                f"{path} holds Python objects, which can run any program when they are "
                "loaded, so cryofix does not load them: save the file again with "
                "cryosparc-tools, Dataset.load(...).save(...), which writes text of "
                "fixed width"
            )
        if len(header.shape) > 1:
            raise CryofixError(
                f"{path} holds an array of shape {header.shape}, and a .cs file has one row "
                "for each particle: give the file that cryoSPARC wrote"
            )
        file.seek(header.offset)
        return np.fromfile(file, header.dtype, header.size)


def _field(array: NDArray[Any], name: str, path: Path, what: str = "number") -> NDArray[Any]:
    """Return a field of one number, or one path, for each row."""
    values = array[name]
    kind, size = values.dtype.kind, values.dtype.itemsize
    fits = kind in "SU" if what == "path" else kind in "fiu" and size <= 8
    if values.ndim != 1 or not fits:
        raise CryofixError(
            f"{path}: the field {name} is {array.dtype[name]}, not one {what} for each particle: "
            "give the file that cryoSPARC wrote"
        )
    return values


def _names(array: NDArray[Any], path: Path) -> list[str]:
    """Return each particle's micrograph; text of fixed width, as bytes of UTF-8 or as it is."""
    values = _field(array, _PATH, path, "path")
    what = f"{path}: the field {_PATH} holds a path that is no text"
    remedy = "rename that micrograph in cryoSPARC, or correct the file"
    # No UTF-8, or a number that is no character.
    with explained(what, remedy, ValueError, SystemError):
        names = values.tolist()
        if values.dtype.kind == "S":
            names = [each.decode() for each in names]
    # cryoSPARC marks paths outside of the project with a leading ">".
    return [each.removeprefix(">") for each in names]


def _hash(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


CRYOSPARC = Format(
    "cryosparc",
    (".cs",),
    read_cryosparc,
    write_cryosparc,
    from_bottom=None,
    alias="cs",
    file="cryosparc.cs",
    keeps_empty=False,
)
