"""How a teacher's log-odds follow from those of the generation before (docs/collapse.md).

    python docs/study/log_odds_map.py RUN --threshold 0.7 --burn-in 300 --generation 80

RUN is a run folder of `teacher=frozen`; the histograms are those that its audits wrote to
TensorBoard, pooled over the steps of each generation.
"""

import argparse
from collections import Counter

import numpy as np
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

UPPER = np.linspace(0.90, 0.999, 200)  # the quantiles that the line is fitted to
MANY = (np.arange(200_000) + 0.5) / 200_000


def pooled(run: str, tag: str, first: int, steps: int, generations: int) -> list[Counter[float]]:
    """Return counts by the upper limit of their bucket, of each generation."""
    events = EventAccumulator(f"{run}/tensorboard/fixmatch", size_guidance={"histograms": 0})
    found: list[Counter[float]] = [Counter() for _ in range(generations)]
    for event in events.Reload().Histograms(f"log_odds_of_p/{tag}"):
        generation = (event.step - first - 1) // steps
        if 0 <= generation < generations:
            histogram = event.histogram_value
            for limit, count in zip(histogram.bucket_limit, histogram.bucket, strict=True):
                found[generation][limit] += count
    return found


def quantiles(counts: Counter[float], at: NDArray[np.float64]) -> NDArray[np.float64]:
    limits = np.array(sorted(counts))
    reached = np.cumsum([counts[limit] for limit in limits])
    return np.asarray(np.interp(at, reached / reached[-1], limits))


def keep_rate(log_odds: NDArray[np.float64], threshold: float) -> float:
    """Return the share of predicted particle pixels that are confident ones."""
    return float((log_odds > threshold).sum() / max(1, (log_odds > 0).sum()))


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("run")
    options.add_argument("--threshold", type=float, required=True)
    options.add_argument("--burn-in", type=int, default=300)
    options.add_argument("--generation", type=int, default=80, help="teacher.round_steps")
    options.add_argument("--generations", type=int, default=5)
    given = options.parse_args()
    cut = float(np.log(given.threshold / (1 - given.threshold)))
    where = given.burn_in, given.generation, given.generations
    everything, particles, background = (
        pooled(given.run, tag, *where) for tag in ("unlabelled", "true_particle", "true_background")
    )
    samples = [quantiles(counts, MANY) for counts in everything]
    for number, sample in enumerate(samples):
        kept = keep_rate(sample, cut), keep_rate(-sample, cut)
        means = [quantiles(part[number], MANY).mean() for part in (particles, background)]
        print(
            f"generation {number + 1}: particle keep {kept[0]:.2f}, background keep {kept[1]:.2f},"
            f" drift {np.log(kept[0] / kept[1]):+.2f}, predicted share {(sample > 0).mean():.3f},"
            f" means {means[0] - means[1]:.1f} apart"
        )
    lines = []
    for number in range(given.generations - 1):
        before, after = (quantiles(everything[number + step], UPPER) for step in (0, 1))
        slope, shift = np.polyfit(before, after, 1)
        off = np.sqrt(np.mean((after - shift - slope * before) ** 2))
        print(f"{number + 1} to {number + 2}: s {slope:.2f}, a {shift:+.2f}, rms {off:.2f}")
        lines.append((slope, shift))
    slope, shift = lines[0]
    sample = samples[0]
    for number in range(1, given.generations):
        sample = shift + slope * sample
        print(f"first line repeated, generation {number + 1}: keep {keep_rate(sample, cut):.2f}")


if __name__ == "__main__":
    main()
