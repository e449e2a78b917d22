"""A simulated data set on disk, laid out like one of CryoPPP."""

import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import xxhash

from cryofix.data.simulation.imaging import Simulated, simulate_micrograph
from cryofix.data.simulation.parameters import SimulatorConfig
from cryofix.errors import CryofixError
from cryofix.files import A_DAY, remove_leftovers, write_json
from cryofix.formats import MicrographInfo, write_coordinates, write_mrc

log = logging.getLogger(__name__)

NOTICE = (
    "Stylised simulations: blobs, not proteins, in made-up ice. They are for testing software "
    "and for showing effects; numbers from them are no scientific claims."
)


def write_dataset(
    config: SimulatorConfig,
    folder: str | Path,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the data set ``config`` into ``folder``, or what is missing there of it.

    The folder holds, as CryoPPP's do, ``micrographs/<name>.mrc`` (mode 2, electrons in each
    pixel), ``ground_truth/particle_coordinates/<name>.csv`` and
    ``ground_truth/ignore_coordinates/<name>.csv`` (only a header where there are none), and
    besides ``truth/<name>.json`` for each micrograph, with digests of its files, and, last, so
    that its presence means "complete", ``simulation.json``: the settings and every micrograph's
    truth.

    An interrupted call is resumed by the next one. Two processes may write the same data set at
    once: both write the same bytes, each file is put in place whole, and a micrograph whose
    files fit the digests in its ``truth`` file is left alone. A data set grows when it is written
    again with more ``micrographs``.

    Raises CryofixError if ``folder`` holds simulations with other settings, or more micrographs.

    Parameters
    ----------
    config
        What to simulate.
    folder
        Where to; made if missing.
    workers
        Threads that simulate at the same time (NumPy lets go of the interpreter's lock).
    progress
        Called with (done, total) after each micrograph.

    Returns
    -------
    Path
        ``simulation.json``.
    """
    folder = Path(folder)
    marker = folder / "simulation.json"
    names = _names(config)
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(
        folder, "micrographs", "truth", "ground_truth/*_coordinates", older_than_s=A_DAY
    )
    surplus = {path.stem for path in folder.glob("truth/sim_*.json")} - set(names)
    if surplus:
        raise CryofixError(
            f"{folder} holds {min(surplus)} and more micrographs than micrographs="
            f"{config.micrographs}: choose another folder, or delete this one"
        )

    def finish(index: int) -> dict[str, Any]:
        return _finish(config, folder, names[index], index)

    truths = []
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        try:
            for truth in pool.map(finish, range(len(names))):
                truths.append(truth)
                if progress is not None:
                    progress(len(truths), len(names))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if _read(marker) != _as_json(_summary(config, truths)):
        write_json(marker, _summary(config, truths))
    return marker


def is_complete(config: SimulatorConfig, folder: Path) -> bool:
    """Say whether a folder holds a data set with every file as :func:`write_dataset` wrote it.

    Raises CryofixError if ``folder`` holds simulations with other settings.
    """
    truths = [_kept(config, folder, name, logging.DEBUG) for name in _names(config)]
    return bool(_read(folder / "simulation.json") == _as_json(_summary(config, truths)))


def _names(config: SimulatorConfig) -> list[str]:
    return [f"sim_{index:04d}" for index in range(config.micrographs)]


def _summary(config: SimulatorConfig, truths: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """Return the content of ``simulation.json``."""
    return {
        "notice": NOTICE,
        "version": config.version,
        "config": config.as_dict(),
        "micrographs": truths,
    }


def _as_json(content: Any) -> Any:
    """Return what reading a JSON file with this content gives."""
    return json.loads(json.dumps(content))


def _read(path: Path) -> Any:
    """Return the content of a JSON file; None when there is none, or it is damaged."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError, RecursionError):
        return None


def _finish(config: SimulatorConfig, folder: Path, name: str, index: int) -> dict[str, Any]:
    """Write one micrograph unless it is there; return its truth."""
    kept = _kept(config, folder, name)
    if kept is not None:
        return kept
    simulated = simulate_micrograph(config, index)
    truth = _truth(name, simulated)
    image = folder / "micrographs" / f"{name}.mrc"
    write_mrc(image, simulated.image, config.pixel_size_angstrom)
    infos = {name: MicrographInfo(image, config.shape, config.pixel_size_angstrom)}
    for kind, particles in (("particle", simulated.particles), ("ignore", simulated.ignored)):
        where = folder / "ground_truth" / f"{kind}_coordinates"
        write_coordinates(where, {name: particles}, infos, format="cryoppp")
    # Last of all: this file says that the others are there.
    content = {"notice": NOTICE, "config": _settings(config), "truth": truth}
    write_json(_truth_path(folder, name), content | {"files": _digests(folder, name)})
    return truth


def _kept(
    config: SimulatorConfig, folder: Path, name: str, level: int = logging.WARNING
) -> dict[str, Any] | None:
    """Return the truth of a micrograph whose files are all there, and as they were written.

    What is damaged is logged at ``level``.
    """
    path = _truth_path(folder, name)
    if not path.exists():
        return None
    content, settings = _read(path), _settings(config)
    damaged = [str(path)]
    if isinstance(content, dict) and isinstance(content.get("config"), dict):
        found = content["config"]
        if found != settings:
            changed = [key for key in settings if found.get(key) != settings[key]]
            raise CryofixError(
                f"{path} was simulated with other settings ({', '.join(changed) or 'more keys'}): "
                "choose another folder, or delete this one"
            )
        truth, listed = content.get("truth"), content.get("files")
        if isinstance(truth, dict) and isinstance(listed, dict):
            files = _digests(folder, name)
            damaged = [str(folder / file) for file in files if files[file] != listed.get(file)]
            if not damaged:
                return truth
    log.log(level, "%s: not as it was written, so %s is simulated again", ", ".join(damaged), name)
    return None


def _truth_path(folder: Path, name: str) -> Path:
    return folder / "truth" / f"{name}.json"


def _digests(folder: Path, name: str) -> dict[str, str | None]:
    """Return the XXH3 digests of a micrograph's files, relative to ``folder``; None if missing."""
    files = (
        f"micrographs/{name}.mrc",
        f"ground_truth/particle_coordinates/{name}.csv",
        f"ground_truth/ignore_coordinates/{name}.csv",
    )
    return {
        file: xxhash.xxh3_128_hexdigest((folder / file).read_bytes())
        if (folder / file).exists()
        else None
        for file in files
    }


def _settings(config: SimulatorConfig) -> dict[str, Any]:
    """Return the settings that an image depends on, as JSON gives them back."""
    settings: dict[str, Any] = _as_json(config.as_dict())
    del settings["micrographs"]
    return settings | {"version": config.version}


def _truth(name: str, simulated: Simulated) -> dict[str, Any]:
    """Return what ``simulation.json`` says about one micrograph."""
    return {
        "name": name,
        "defocus_um": round(simulated.defocus_um, 4),
        "astigmatism_um": round(simulated.astigmatism_um, 4),
        "snr": round(simulated.snr, 6),
        "dose_electrons_per_angstrom2": round(simulated.dose_electrons_per_angstrom2, 3),
        "particles": len(simulated.particles),
        "ignored": len(simulated.ignored),
        "contamination": simulated.contamination,
    }
