"""``python -m cryofix.simulate``: a folder of simulated micrographs with their true particles."""

import json
from typing import Any

from omegaconf import DictConfig

from cryofix.config import entry_point, to_plain
from cryofix.data.simulation.dataset import write_dataset
from cryofix.data.simulation.parameters import SimulatorConfig
from cryofix.processes import cores_at_hand


@entry_point("simulate")
def main(config: DictConfig) -> float:
    """Simulate what is missing in the folder; return the number of labelled particles."""
    from cryofix.experiment.progress import Display  # after --help has been answered

    keys = to_plain(config)
    folder, workers = keys.pop("output"), keys.pop("workers")
    settings = SimulatorConfig(**keys)
    with Display() as display:
        tick = display.counter("simulating", settings.micrographs)
        marker = write_dataset(
            settings,
            folder,
            workers=cores_at_hand() if workers is None else workers,
            progress=lambda done, total: tick(),
        )
    truth: dict[str, Any] = json.loads(marker.read_text())
    labelled = sum(each["particles"] for each in truth["micrographs"])
    ignored = sum(each["ignored"] for each in truth["micrographs"])
    print(
        f"{settings.micrographs} micrographs with {labelled} labelled and {ignored} ignored "
        f"particles of {settings.particle_diameter_px:.0f} px in {folder}. {truth['notice']}"
    )
    return float(labelled)


if __name__ == "__main__":
    main()
