"""A simulated data set on disk, laid out like one of CryoPPP."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cryofix.data.simulation.config import SimulatorConfig
from cryofix.data.simulation.micrograph import Simulated, simulate_micrograph
from cryofix.errors import CryofixError
from cryofix.files import write_json
from cryofix.formats.coordinates import write_coordinates
from cryofix.formats.micrograph import MicrographInfo, write_mrc

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
    besides ``truth/<name>.json`` for each micrograph and, last, so that its presence means
    "complete", ``simulation.json``: the settings and every micrograph's truth.

    An interrupted call is resumed by the next one. Two processes may write the same data set at
    once: both write the same bytes, each file is put in place whole, and a micrograph whose
    ``truth`` file exists is left alone. A data set grows when it is written again with more
    ``micrographs``.

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

    Raises
    ------
    CryofixError
        If ``folder`` holds simulations with other settings, or more micrographs.
    """
    folder = Path(folder)
    marker = folder / "simulation.json"
    names = [f"sim_{index:04d}" for index in range(config.micrographs)]
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
    content = {
        "notice": NOTICE,
        "version": config.version,
        "config": config.as_dict(),
        "micrographs": truths,
    }
    if not (marker.exists() and json.loads(marker.read_text()) == content):
        write_json(marker, content)
    return marker


def _finish(config: SimulatorConfig, folder: Path, name: str, index: int) -> dict[str, Any]:
    """Write one micrograph unless it is there; return its truth."""
    settings = _settings(config)
    path = folder / "truth" / f"{name}.json"
    if path.exists():
        content = json.loads(path.read_text())
        if content["config"] != settings:
            found = content["config"]
            changed = [key for key in settings if found.get(key) != settings[key]]
            raise CryofixError(
                f"{path} was simulated with other settings ({', '.join(changed) or 'more keys'}): "
                "choose another folder, or delete this one"
            )
        written: dict[str, Any] = content["truth"]
        return written
    simulated = simulate_micrograph(config, index)
    truth = _truth(name, simulated)
    image = folder / "micrographs" / f"{name}.mrc"
    write_mrc(image, simulated.image, config.pixel_size_angstrom)
    infos = {name: MicrographInfo(image, config.shape, config.pixel_size_angstrom)}
    for kind, particles in (("particle", simulated.particles), ("ignore", simulated.ignored)):
        where = folder / "ground_truth" / f"{kind}_coordinates"
        write_coordinates(where, {name: particles}, infos, format="cryoppp")
    # Last of all: this file says that the others are there.
    write_json(path, {"notice": NOTICE, "config": settings, "truth": truth})
    return truth


def _settings(config: SimulatorConfig) -> dict[str, Any]:
    """Return the settings that an image depends on, as JSON gives them back."""
    settings: dict[str, Any] = json.loads(json.dumps(config.as_dict()))
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
