"""The costliest masking policy and the audit, as a share of the bare compute of a step."""

import functools
import statistics
from collections.abc import Callable

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from benchmarks import clock
from benchmarks.rows import Row, finish, parser
from benchmarks.training import Bare, train_config
from cryofix.config import config_folder, to_plain
from cryofix.learning.audit import audit
from cryofix.learning.settings import Steps
from cryofix.masking import MaskingPolicy, PolicyContext, PseudoLabels

PRIOR = 0.04


def policies() -> dict[str, MaskingPolicy]:
    """Return every policy of conf/mask."""
    files = sorted((config_folder() / "mask").glob("*.yaml"))
    return {file.stem: instantiate(OmegaConf.load(file)) for file in files}


def maps(size: int, tile_px: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Return tiles with particles on a share PRIOR of their pixels, and a model unsure of them."""
    shape = (size, 1, tile_px, tile_px)
    particle = torch.rand(shape, device=device) < PRIOR
    logits = torch.randn(shape, device=device) + torch.where(particle, 0.5, -3.0)
    everywhere = torch.ones(shape, dtype=torch.bool, device=device)
    return {
        "target": particle.float(),
        "valid": everywhere,
        "known": everywhere,
        "visible": everywhere,
        "logits": logits,
        "prob": logits.sigmoid(),
    }


def median_seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the median time of some work, after once that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        began = clock.now(device)
        work()
        times.append(clock.now(device) - began)
    return statistics.median(times)


def measure(config: DictConfig, repeats: int) -> Row:
    """Time every policy's update and forward, the audit, and the bare step."""
    bare = Bare(config)
    device = bare.device
    known = {name: policy.to(device) for name, policy in policies().items()}
    labelled, unlabelled = (
        maps(size, config.data.tile_px, device)
        for size in (config.data.batch_labelled, config.data.batch_unlabelled)
    )
    context = PolicyContext(
        prior=PRIOR,
        labelled_prob=labelled["prob"],
        labelled_target=labelled["target"],
        labelled_valid=labelled["valid"],
    )

    def labels(policy: MaskingPolicy) -> PseudoLabels:
        policy.update(unlabelled["prob"], unlabelled["valid"], context)
        pseudo: PseudoLabels = policy(unlabelled["prob"], unlabelled["valid"], context)
        return pseudo

    costs = {
        name: median_seconds(functools.partial(labels, policy), device, repeats)
        for name, policy in known.items()
    }
    for name, cost in costs.items():
        print(f"  {name}: {1000 * cost:.2f} ms")
    costliest = max(costs, key=lambda name: costs[name])
    look = functools.partial(
        audit,
        unlabelled,
        unlabelled["prob"],
        labels(known[costliest]),
        unlabelled["logits"],
        prior=PRIOR,
        normaliser=config.unlabelled.normaliser,
    )
    looking = median_seconds(look, device, repeats)
    share = Steps(**to_plain(config.steps)).audited_share()
    print(f"  audit: {1000 * looking:.2f} ms, in {100 * share:.0f} % of the steps")
    step = statistics.median(bare.seconds(max(5, repeats // 2)))
    cost = costs[costliest] + looking * share
    return Row(
        name=f"policy ({costliest}, the costliest of {len(costs)}) and audit",
        ours=f"{1000 * cost:.2f} ms",
        limit=f"{1000 * step:.1f} ms, a bare step",
        ratio=cost / step,
        target=0.01 if device.type == "cuda" else 0.03,
    )


def main() -> None:
    """Print each policy's cost, and the row."""
    options = parser(__doc__, gpu=True, cpu_time=True)
    options.add_argument("--repeats", type=int, default=20)
    options.add_argument("overrides", nargs="*", help="of cryofix.train")
    given = options.parse_args()
    clock.use(given.cpu_time)
    torch.manual_seed(0)
    finish([measure(train_config(given.overrides, given.gpu), given.repeats)], given.rows)


if __name__ == "__main__":
    main()
