"""``python -m cryofix.train``: burn-in, supervised control, FixMatch, scores."""

import json
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig

from cryofix.config import entry_point, to_plain
from cryofix.errors import CryofixError
from cryofix.files import write_json

WITHOUT_EFFECT = ("output", "cache", "names")  # on the numbers: may differ when a run is continued


@entry_point("train")
def main(config: DictConfig) -> float:
    """Train, write the run folder, and return particle F1 of the selected model."""
    from cryofix.learning.experiment import Experiment  # after --help has been answered
    from cryofix.monitoring.console import print_summary, quieten
    from cryofix.monitoring.dashboard import write_hyperparameters
    from cryofix.monitoring.figures import write_figures
    from cryofix.monitoring.progress import Display
    from cryofix.monitoring.status import run_status

    quieten()
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    sweep = Path(hydra_config.sweep.dir) if hydra_config.mode == RunMode.MULTIRUN else None
    with run_status(folder) as status, Display() as display:
        plain = to_plain(config)
        continue_or_refuse(folder, plain)
        experiment = Experiment(
            config=plain,
            folder=folder,
            shared=sweep / "stages" if sweep is not None and config.share_stages else None,
            data=instantiate(config.data, progress=display.counter),
            policy=instantiate(config.mask),
            guard=instantiate(config.guard),
            display=display,
        )
        experiment.guard.console = display.console
        experiment.guard.listener = lambda alarm: status.update(alarm=alarm)
        display.console.print(experiment.policy.describe(), highlight=False, soft_wrap=True)
        results = experiment.run()
        write_figures(experiment)
        write_hyperparameters(folder / "tensorboard", results)
        write_json(folder / "results.json", results)
    print_summary(results, folder, display.console)
    f1: float = results[results["selected"]]["particle"]["f1"]
    return f1


def continue_or_refuse(folder: Path, config: dict[str, Any]) -> None:
    """Record the configuration of a run folder, or compare it with what is recorded.

    Raises
    ------
    CryofixError
        When the folder holds a run with other settings; nothing in it is touched.
    """
    path = folder / "config.json"
    if path.exists():
        before, now = _flat(json.loads(path.read_text())), _flat(config)
        different = [
            key
            for key in sorted(before.keys() | now.keys())
            if before.get(key) != now.get(key)
            and key.split(".")[0] not in WITHOUT_EFFECT
            and not key.endswith((".workers", ".cache"))
        ]
        if different:
            key = different[0]
            raise CryofixError(
                f"output={folder} holds a run with {key}={before.get(key)}, not {now.get(key)}"
                f" ({len(different)} differences): choose another output, or remove the folder"
            )
    write_json(path, config)


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(node, dict):
        return {prefix: node}
    parts = (_flat(value, f"{prefix}.{key}" if prefix else key) for key, value in node.items())
    return {key: value for part in parts for key, value in part.items()}


if __name__ == "__main__":
    main()
