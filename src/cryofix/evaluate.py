"""``python -m cryofix.evaluate``: score a trained model, or any picks, against coordinates."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from cryofix.config import build, entry_point, refuse_idle, to_plain
from cryofix.errors import CryofixError
from cryofix.files import write_json
from cryofix.saved_model import ANY_SPLIT, load_with_data


@entry_point("evaluate")
def main(config: DictConfig) -> float:
    """Score a checkpoint or picks, write scores and pictures, and return particle F1."""
    if (config.checkpoint is None) == (config.picks is None):
        raise CryofixError("say what to score: checkpoint=RUN or picks=FILE_OR_FOLDER, one of them")
    return score_checkpoint(config) if config.picks is None else score_picks(config)


def score_checkpoint(config: DictConfig) -> float:
    """Score a model, write ``scores.json`` and pictures, return F1 of particles or of masks."""
    import torch

    from cryofix.data.blocks import describe
    from cryofix.experiment.comparison import annotated_part
    from cryofix.experiment.progress import Display
    from cryofix.experiment.run_figures import write_scored_figures
    from cryofix.learning.evaluation import score_all
    from cryofix.learning.metadata import averages_views
    from cryofix.metrics.particles import Thresholds
    from cryofix.metrics.scores import choose_thresholds, summarise_scores
    from cryofix.reporting.console import print_scores, quieten, say

    quieten()
    folder = Path(HydraConfig.get().runtime.output_dir)
    refuse_idle(["threshold"], "it is for picks=, and a checkpoint has a threshold of its own")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with Display() as display:
        picker, data = load_with_data(config, display.counter)
        annotated = annotated_part(data, config.part)
        if config.part == "validation":
            say(display.console, *describe(data.blocks))
        tick = display.counter("scoring", len(annotated))
        network = picker.network.to(device)
        views = averages_views(picker.metadata, config.average_views)
        records = []
        for part in annotated:
            records += score_all(network, data, [part], device, views)
            tick()
    chosen = picker.metadata["thresholds"]
    thresholds = Thresholds(**chosen) if chosen else choose_thresholds(records)
    scores = summarise_scores(records, thresholds)
    write_json(
        folder / "scores.json",
        {
            "checkpoint": str(picker.path),
            "part": config.part,
            "average_views": views,
            "thresholds_from": "checkpoint" if chosen else "these micrographs: optimistic",
            "scores": scores,
        },
    )
    write_scored_figures(folder, network, data, annotated[0], records, thresholds, device, views)
    print_scores(scores, len(records), folder, display.console)
    f1: float = scores.get("particle", scores["pixel"])["f1"]
    return f1


def score_picks(config: DictConfig) -> float:
    """Score files of picks, write ``comparison.json`` and a figure, return F1 of the first."""
    from cryofix.experiment.comparison import annotated_part, as_dict, compare, headers
    from cryofix.experiment.progress import Display
    from cryofix.experiment.run_figures import comparison_figure
    from cryofix.metrics.programs import read_programs
    from cryofix.reporting.comparison_table import print_comparison
    from cryofix.reporting.console import quieten
    from cryofix.reporting.plots import save

    quieten()
    folder = Path(HydraConfig.get().runtime.output_dir)
    refuse_idle(["average_views"], "it is for checkpoint=, and picks are as they are")
    if config.get("data") is None:
        raise CryofixError(
            f"picks={config.picks} need micrographs with coordinates to be scored on: choose them"
            " with data=, for example data=micrographs data.images=... data.coordinates=..."
        )
    for key, value in ANY_SPLIT.items():
        config[key] = value if config[key] is None else config[key]
    with Display() as display:
        data = build(config.data, progress=display.counter)
        programs = read_programs(to_plain(config)["picks"], headers(data))
        scored_on = annotated_part(data, config.part)
        validation = annotated_part(data, "validation") if config.part == "test" else []
        diameter = data.dataset.particle_px
        scored = compare(programs, scored_on, validation, diameter, config.threshold)
    results = {"part": config.part, **as_dict(scored)}
    write_json(folder / "comparison.json", results)
    save(comparison_figure(scored), folder / "figures" / "comparison.png")
    print_comparison(results, len(scored_on), folder, display.console)
    f1: float = next(iter(results["programs"].values()))["particle"]["f1"]
    return f1


if __name__ == "__main__":
    main()
