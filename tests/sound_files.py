"""A small sound file, or a folder of them, of every kind that cryofix reads."""

import atexit
import bz2
import gzip
import io
import json
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import tifffile
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image

from cryofix.diagnosis.arrays import find_arrays
from cryofix.diagnosis.streaming import count_arrays, pair_up
from cryofix.experiment.run_folder import differences, finished
from cryofix.formats import (
    FORMATS,
    MicrographInfo,
    Particles,
    detect_format,
    read_coordinates,
    read_info,
    read_micrograph,
    write_coordinates,
)
from cryofix.learning.checkpoint import load_picker
from cryofix.learning.network import build_network
from cryofix.picking.folder import keep_to_this_run
from cryofix.picking.picked import Job, is_finished, read_result
from cryofix.report import expand_sweep
from cryofix.sweeps.collect import collect
from cryofix.sweeps.resume import resumed
from cryofix.sweeps.summarise import summarise_sweep

Pack = Callable[[Any], bytes]
IMAGES = {name: MicrographInfo(Path(f"{name}.mrc"), (400, 700), 1.5) for name in ("a", "b")}
# Of the formats that are one file; the others are folders.
SUFFIXES = {"relion_particles": ".star", "topaz": ".tsv", "cryosparc": ".cs"}
SUFFIXES |= {"json": ".json", "coco": ".json"}
MODEL: dict[str, Any] = {
    "architecture": "unet",
    "encoder": "cryofix_small",
    "encoder_weights": None,
    "norm": "batch",
    "options": {"encoder_depth": 3, "decoder_channels": [8, 8, 8]},
}


@dataclass(frozen=True)
class Part:
    """One file: what is changed (bytes, or plain values), and how it becomes the file's bytes."""

    content: Any
    pack: Pack = bytes


@dataclass(frozen=True)
class Kind:
    """A folder of files, of which one is changed, and the function that reads it."""

    files: dict[str, Part]
    read: Callable[[Path], object]


def kinds() -> dict[str, Kind]:
    """Return everything that cryofix reads."""
    return {**coordinates(), **micrographs(), **probabilities(), **checkpoints(), **runs()}


def coordinates() -> dict[str, Kind]:
    rng = np.random.default_rng(0)
    found = {}
    particles = {
        name: Particles(rng.uniform(50, 350, 9), y, rng.random(9), np.full(9, 40.0))
        for name, y in zip(IMAGES, rng.uniform(50, 350, (2, 9)), strict=True)
    }
    for name in FORMATS:
        target = temporary() / f"picks{SUFFIXES.get(name, '')}"
        written = write_coordinates(target, particles, IMAGES, format=name, y_origin="top")
        root = target.parent if target.is_file() else target
        # An index names the other files by their place, which is to be the folder of an input.
        here = f"{root}/".encode()
        files = {
            str(path.relative_to(root)): Part(path.read_bytes().replace(here, b""))
            for path in written
        }
        single = target.name if target.is_file() else ""
        found[name] = Kind(files, partial(_labels, single, name))
    return found


def _labels(single: str, name: str, folder: Path) -> None:
    path = folder / single
    detect_format(path)
    read_coordinates(path, IMAGES, format=name, y_origin="top", allow_empty=True)


def micrographs() -> dict[str, Kind]:
    rng = np.random.default_rng(0)
    image = rng.normal(100, 20, (48, 64))
    files: dict[str, Part] = {}
    modes = {"mode0": "i1", "mode1": "i2", "mode2": "f4", "mode6": "u2", "mode12": "f2"}
    for name, dtype in modes.items():
        files[f"{name}.mrc"] = Part(mrc_bytes(image.astype(dtype)))
    plain = files["mode1.mrc"].content
    files["packed.mrc.gz"] = Part(plain, lambda content: gzip.compress(content, mtime=0))
    files["packed.mrc.bz2"] = Part(plain, bz2.compress)
    for name, codec in {"plain.tif": None, "zlib.tif": "zlib"}.items():
        stream = io.BytesIO()
        tifffile.imwrite(stream, image.astype("u2"), compression=codec, predictor=bool(codec))
        files[name] = Part(stream.getvalue())
    for name, mode in {"lzw.tif": "tiff_lzw", "zstd.tif": "zstd"}.items():
        files[name] = Part(picture_bytes(image, "TIFF", compression=mode))
    files["a.jpg"] = Part(picture_bytes(image, "JPEG"))
    rows = b"".join(b"\0" + row.tobytes() for row in image.astype("u1"))
    files["a.png"] = Part(struct.pack(">IIBBBBB", 64, 48, 8, 0, 0, 0, 0) + rows, png_bytes)
    return {
        f"micrograph {name}": Kind({name: part}, partial(_micrograph, name))
        for name, part in files.items()
    }


def _micrograph(name: str, folder: Path) -> None:
    info, micrograph = read_info(folder / name), read_micrograph(folder / name)
    assert info.shape == micrograph.data.shape
    assert info.pixel_size_angstrom == micrograph.pixel_size_angstrom
    assert np.isfinite(micrograph.data).all()


def mrc_bytes(data: NDArray[Any]) -> bytes:
    path = temporary() / "a.mrc"
    with mrcfile.new(path) as mrc:
        mrc.set_data(data)
        mrc.voxel_size = 1.5
    return path.read_bytes()


def picture_bytes(image: NDArray[Any], form: str, **settings: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image.astype("u1")).save(stream, form, **settings)
    return stream.getvalue()


def png_bytes(content: bytes) -> bytes:
    """Pack a PNG's header and rows, with right checksums."""

    def chunk(kind: bytes, inside: bytes) -> bytes:
        return (
            struct.pack(">I", len(inside))
            + kind
            + inside
            + struct.pack(">I", zlib.crc32(kind + inside))
        )

    parts = (
        chunk(b"IHDR", content[:13]),
        chunk(b"IDAT", zlib.compress(content[13:])),
        chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def probabilities() -> dict[str, Kind]:
    p = np.random.default_rng(0).random((2, 30, 40), np.float32)
    stream = io.BytesIO()
    np.save(stream, p)
    npy = stream.getvalue()
    files = {
        "p.npy": Part(npy),
        "p.npz": Part(npy, lambda content: zip_bytes(content, zipfile.ZIP_STORED)),
        "packed.npz": Part(npy, lambda content: zip_bytes(content, zipfile.ZIP_DEFLATED)),
        "p.mrcs": Part(mrc_bytes(p)),
    }
    return {
        f"probabilities {name}": Kind({name: part}, partial(_counted, name))
        for name, part in files.items()
    }


def _counted(name: str, folder: Path) -> None:
    arrays = find_arrays(folder / name, "probabilities")
    for array in arrays:
        array.corner(64)
    count_arrays(pair_up(arrays, []))


def zip_bytes(content: bytes, method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr(zipfile.ZipInfo("p.npy"), content, method)
    return stream.getvalue()


def checkpoints() -> dict[str, Kind]:
    torch.manual_seed(0)
    content = {
        "cryofix": {
            "config": {
                "model": MODEL,
                "data": {"radius_fraction": 0.5, "highpass_diameters": 4.0, "clip_sigma": 6.0},
            },
            "prior": 0.04,
            "particle_px": 24.0,
            "diameter_px": 40.0,
            "diameter_angstrom": 60.0,
            "thresholds": {"pixel": 0.5, "particle": 0.5},
        },
        "network": build_network(**MODEL).state_dict(),
    }
    return {"checkpoint": Kind({"a.ckpt": Part(content, saved)}, _picker)}


def _picker(folder: Path) -> None:
    load_picker(folder / "a.ckpt")


def saved(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def runs() -> dict[str, Kind]:
    def as_json(content: Any) -> bytes:
        return json.dumps(content).encode()

    def as_yaml(content: Any) -> bytes:
        return str(yaml.dump(content)).encode()

    keys = ("precision", "recall", "f1", "average_precision", "threshold", "ece")
    scores = {group: dict.fromkeys(keys, 0.5) for group in ("pixel", "particle")}
    gain = {"value": 0.01, "ci95": [-0.01, 0.03]}
    results = {
        "schema": 1, "data": "simulated", "mask": "symmetric", "ratio": 0.05, "seed": 1,
        "mask_config": {"_target_": "cryofix.masking.Symmetric", "threshold": 0.7},
        "micrographs": {"labelled": 4, "unlabelled": 76, "validation": 10, "test": 10},
        "supervised": scores, "fixmatch": scores, "selected": "fixmatch",
        "gain": {"pixel_f1": gain, "particle_f1": gain, "average_precision": gain},
        "validation": {"supervised": {"particle_f1": 0.5}, "fixmatch": {"particle_f1": 0.6}},
        "keep_rates": [{"threshold": 0.7, "kept": 0.8, "particle_keep": 0.2, "drift": -1.0}],
        "mask_keep_rates": {"kept": 0.8, "particle_keep": 0.2, "background_keep": 0.8, "drift": -1},
        "collapse": {"alarmed": True, "first_step": 400, "min_drift": -1.2},
        "steps": {"burn_in": 10, "stage": 20}, "seconds": {"total": 9.5},
    }  # fmt: skip
    hydra = {
        "overrides": {"task": ["mask=symmetric", "seed=1,2"]},
        "sweeper": {"params": {"ratio": "0.05,0.1"}},
        "job": {"id": "12_0", "num": 0},
    }
    config = {"seed": 1, "ratio": 0.05, "data": {"images": "a", "limit": None}, "mask": {"x": [1]}}
    return {
        "sweep": Kind(
            {
                "multirun.yaml": Part({"hydra": hydra}, as_yaml),
                "0/.hydra/overrides.yaml": Part(["mask=symmetric", "seed=1"], as_yaml),
                "0/.hydra/hydra.yaml": Part({"hydra": hydra}, as_yaml),
                "0/status.json": Part({"state": "finished", "error": None}, as_json),
                "0/results.json": Part(results, as_json),
            },
            lambda folder: summarise_sweep(collect(folder, expand_sweep)),
        ),
        "run folder": Kind(
            {
                "config.json": Part(config, as_json),
                "status.json": Part({"state": "finished", "error": None}, as_json),
                "results.json": Part(results, as_json),
            },
            lambda folder: (differences(folder, config), finished(folder)),
        ),
        "resumed sweep": Kind(
            {"multirun.yaml": Part({"hydra": hydra}, as_yaml)},
            lambda folder: resumed([f"resume_sweep={folder}"]),
        ),
        "written picks": Kind(
            {"written.json": Part({"schema": 1, "files": {"a.box": [9, 9]}}, as_json)},
            lambda folder: keep_to_this_run(folder, [], {}),
        ),
        "kept picks": Kind({"a.npz": Part(RECORD, kept)}, _kept_picks),
    }


RECORD: dict[str, Any] = {
    "key": "the settings",
    "file": ["a.mrc", 6, 0],
    "shape": [100, 120],
    "pixel_size_angstrom": 1.5,
    "seconds": {"read": 0.1},
}


def kept(record: Any) -> bytes:
    """Pack what `cryofix.pick` keeps of a micrograph."""
    stream = io.BytesIO()
    x = np.linspace(0.1, 0.9, 5)
    text = np.frombuffer(json.dumps(record).encode(), np.uint8)
    thumbnail = np.zeros(9, np.uint8)
    np.savez(stream, x=x, y=x, score=x, diameter_px=x, thumbnail=thumbnail, record=text)
    return stream.getvalue()


def _kept_picks(folder: Path) -> None:
    (folder / "a.mrc").write_bytes(b"pixels")
    os.utime(folder / "a.mrc", (0, 0))
    job = Job(folder / "a.mrc", "a.mrc", folder / "a.npz")
    if is_finished(job, RECORD["key"]):
        read_result(job)


def temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="cryofix-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
