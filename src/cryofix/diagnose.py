"""``python -m cryofix.diagnose``: what a mask keeps of each class, and where that leads."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress

from cryofix.config import entry_point, refuse_idle, to_plain
from cryofix.errors import CryofixError
from cryofix.saved_model import OF_SPLIT, load_with_data

if TYPE_CHECKING:
    from cryofix.diagnosis.observation import Observation


@entry_point("diagnose")
def main(config: DictConfig) -> float:
    """Diagnose, print, write; return the drift of the mask, -inf where it is undefined."""
    if (config.checkpoint is None) == (config.probabilities is None):
        raise CryofixError(
            "give either checkpoint=RUN, a model of cryofix, or probabilities=FILE, of any program"
        )
    folder, console = Path(HydraConfig.get().runtime.output_dir), Console()
    observe = _observe_files if config.checkpoint is None else _observe_checkpoint
    observation, trained = observe(config, console)
    from cryofix.diagnosis.diagnosis import diagnose
    from cryofix.diagnosis.diagnosis_figures import write_figures
    from cryofix.diagnosis.forecast import forecast
    from cryofix.diagnosis.policies import build_policy
    from cryofix.diagnosis.terminal import show
    from cryofix.diagnosis.written_tables import write_files

    mask = config.get("mask")
    policy = build_policy(observation.mask if mask is None else to_plain(mask))
    diagnosis = diagnose(observation, policy, config.progress)
    teacher = (config.get("teacher") or trained.get("teacher") or {}).get("kind")
    weight = config.unlabelled.weight
    if weight is None:
        weight = (trained.get("unlabelled") or {}).get("weight")
    unknown = teacher is None or weight is None
    said = None if unknown else forecast(diagnosis, str(teacher), weight)
    write_files(diagnosis, folder, said)
    write_figures(diagnosis, folder / "figures")
    show(diagnosis, folder, console, said)
    drift = diagnosis.rates["drift"]
    return float("-inf") if drift is None else drift


def _observe_files(config: DictConfig, console: Console) -> tuple["Observation", Mapping[str, Any]]:
    """Count probabilities; torch is imported meanwhile. Nothing is known of their training."""
    from cryofix.diagnosis.arrays import find_arrays
    from cryofix.diagnosis.streaming import count_arrays, pair_up, segments

    idle = [*OF_SPLIT, "part", "data"]
    refuse_idle(idle, "it is about the micrographs of a checkpoint, and probabilities= was given")
    truths = [] if config.truth is None else find_arrays(config.truth, "truth")
    pairs = pair_up(find_arrays(config.probabilities, "probabilities"), truths)
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    with bar, ThreadPoolExecutor(1) as pool:
        reading = bar.add_task("reading", total=segments(pairs))
        counting = pool.submit(count_arrays, pairs, lambda: bar.advance(reading))
        from cryofix.diagnosis.observation import observe_files
    source = str(config.probabilities)
    return observe_files(source, pairs, counting.result(), config.prior), {}


def _observe_checkpoint(
    config: DictConfig, console: Console
) -> tuple["Observation", Mapping[str, Any]]:
    """Let a trained network predict its own data set or another; return its configuration too."""
    import torch

    from cryofix.diagnosis.model_pixels import observe_network
    from cryofix.experiment.progress import Display
    from cryofix.reporting.console import quieten

    quieten()
    refuse_idle(["truth"], "it is for probabilities=, and a checkpoint has data of its own")
    with Display(console) as display:
        picker, data = load_with_data(config, display.counter)
        trained = picker.metadata["config"]
        observation = observe_network(
            f"{config.checkpoint}, {config.part} micrographs",
            picker.network.to("cuda" if torch.cuda.is_available() else "cpu"),
            data,
            config.part,
            prior=picker.metadata["prior"] if config.prior is None else config.prior,
            mask=trained.get("mask"),
            counter=display.counter,
        )
        return observation, trained


if __name__ == "__main__":
    main()
