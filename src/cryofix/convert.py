"""``python -m cryofix.convert``: coordinates from one program's format to another's."""

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from cryofix.config import entry_point, to_plain
from cryofix.formats import (
    check_labels,
    detect_format,
    file_y_origin,
    find_micrographs,
    index_micrographs,
    read_coordinates,
    write_coordinates,
)
from cryofix.formats.option_keys import CommandKeys, keys_of_command
from cryofix.formats.registry import find_writer
from cryofix.formats.tables import Format

IN = CommandKeys("read.", named={"format": "in_format"})
OUT = CommandKeys("write.", named={"y_origin": "out_y_origin"})

_log = logging.getLogger(__name__)


@entry_point("convert")
def main(config: DictConfig) -> float:
    """Read, check which way up, write; return the number of particles."""
    keys = to_plain(config)
    with keys_of_command(OUT):
        chosen = find_writer(keys["format"], keys["out_y_origin"], _given(keys["write"]))
    source = keys["in_format"] or detect_format(keys["in"], keys=IN)
    micrographs = index_micrographs(find_micrographs(keys["micrographs"]))
    how = {"format": source, "y_origin": keys["y_origin"], "keys": IN}
    careful = {key: keys[key] for key in ("allow_empty", "outside")}
    particles = read_coordinates(keys["in"], micrographs, **how, **careful, **_given(keys["read"]))
    if keys["check_y"]:
        info = micrographs[next(iter(particles))]
        origin = file_y_origin(keys["in"], info, **how)
        fit = check_labels(micrographs, particles, y_origin=origin)
        if fit.confirmed:
            print(fit.message(IN))
        else:
            _log.warning("%s: %s", keys["in"], fit.message(IN))
    written = write_coordinates(
        _file(Path(keys["out"]), chosen),
        particles,
        micrographs,
        format=keys["format"],
        y_origin=keys["out_y_origin"],
        keys=OUT,
        **_given(keys["write"]),
    )
    count = sum(map(len, particles.values()))
    unlabelled = len(micrographs) - len(particles)
    files = "1 file" if len(written) == 1 else f"{len(written)} files, the first is"
    print(
        f"{count} particles in {len(particles)} micrographs ({unlabelled} more are unlabelled), "
        f"{source} to {keys['format']}: wrote {files} {written[0]}"
    )
    return float(count)


def _file(out: Path, chosen: Format) -> Path:
    """Return ``out``, or for a format of one file a name by which it is recognised again."""
    if not chosen.file or out.suffix.lower() in chosen.suffixes:
        return out
    return out / chosen.file if out.is_dir() else out.with_name(out.name + Path(chosen.file).suffix)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that the user set; the formats refuse those that are not theirs."""
    return {key: value for key, value in options.items() if value is not None}


if __name__ == "__main__":
    main()
