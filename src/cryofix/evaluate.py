"""``python -m cryofix.evaluate``: score a trained model on micrographs with coordinates."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from cryofix.config import entry_point
from cryofix.errors import CryofixError
from cryofix.files import write_json

PARTS = ("test", "validation", "labelled", "unlabelled", "all")
AS_TRAINED = ("particle_px", "target_size", "radius_fraction", "highpass_diameters", "clip_sigma")


@entry_point("evaluate")
def main(config: DictConfig) -> float:
    """Score a checkpoint, write ``scores.json`` and pictures, and return particle F1."""
    import torch

    from cryofix.learning.checkpoint import load_picker
    from cryofix.learning.evaluation import score_all
    from cryofix.monitoring.console import print_scores, quieten
    from cryofix.monitoring.figures import write_scored_figures
    from cryofix.monitoring.progress import Display
    from cryofix.scoring.scores import Thresholds, choose_thresholds, summarise

    quieten()
    if config.part not in PARTS:
        raise CryofixError(f"part={config.part} is not known; use one of {', '.join(PARTS)}")
    folder = Path(HydraConfig.get().runtime.output_dir)
    picker = load_picker(config.checkpoint)
    trained = picker.metadata["config"]["data"]
    OmegaConf.update(config, "data", {key: trained[key] for key in AS_TRAINED}, merge=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with Display() as display:
        data = instantiate(config.data, progress=display.counter)
        names = sum((getattr(data.split, part) for part in PARTS[:-1]), ())
        if config.part != "all":
            names = getattr(data.split, config.part)
        annotated = [data.dataset.annotated[name] for name in names]
        annotated = [part for part in annotated if part.particles is not None]
        tick = display.counter("scoring", len(annotated))
        network = picker.network.to(device)
        records = []
        for part in annotated:
            records += score_all(network, data, [part], device)
            tick()
    chosen = picker.metadata["thresholds"]
    thresholds = Thresholds(**chosen) if chosen else choose_thresholds(records)
    scores = summarise(records, thresholds)
    write_json(
        folder / "scores.json",
        {
            "checkpoint": str(picker.path),
            "part": config.part,
            "thresholds_from": "checkpoint" if chosen else "these micrographs: optimistic",
            "scores": scores,
        },
    )
    write_scored_figures(folder, network, data, annotated[0], records, thresholds, device)
    print_scores(scores, len(records), folder, display.console)
    f1: float = scores["particle"]["f1"]
    return f1


if __name__ == "__main__":
    main()
