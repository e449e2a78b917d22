"""What each switch of the compute is worth, and how much of the machine a step uses.

The bare step (weak and strong forwards, backward, AdamW) as configured, and with one switch at a
time the other way, in turns. A step's floating-point operations are counted by torch; the peak that
they are compared with is a large matrix product in the same process, in the precision of the
training, and where it is known what the card's data sheet says.

    python -m benchmarks.switches [--gpu] [--rounds 5] [OVERRIDE ...]
"""

import argparse
import statistics
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import clock
from benchmarks.training import Bare, train_config

# Dense bfloat16, TFLOP/s, from NVIDIA's data sheets; SXM where there are several.
DATA_SHEET = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0}
Step = Callable[[], object]


def variants(overrides: list[str], gpu: bool) -> dict[str, Step]:
    """Return a step as configured, and one for each switch turned over, warmed up."""
    config = train_config(overrides, gpu)
    found: dict[str, Step] = {"as configured": Bare(config).step}
    for key in ("channels_last", "compile"):
        turned = not config.compute[key]
        name = f"{'with' if turned else 'without'} {key}"
        found[name] = Bare(
            train_config([*overrides, f"compute.{key}={str(turned).lower()}"], gpu)
        ).step
    plain = Bare(config)
    plain.optimiser = torch.optim.AdamW(plain.network.parameters(), fused=False)
    found["without fused AdamW"] = plain.step
    if plain.device.type == "cuda":
        found["in a CUDA graph"] = graphed(Bare(config))
    for step in found.values():
        for _ in range(3):
            step()
    return found


def graphed(bare: Bare) -> Step:
    """Return a step that replays its kernels, as torch's notes on CUDA graphs say.

    Not measured yet: no GPU was at hand.
    """
    for group in bare.optimiser.param_groups:
        group["capturable"] = True
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call] # torch's own
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            bare.step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        bare.step()
    return graph.replay


def seconds(steps: dict[str, Step], rounds: int, device: torch.device) -> dict[str, float]:
    """Return each one's median time, all in turns so that what else runs hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            began = clock.now(device)
            step()
            times[name].append(clock.now(device) - began)
    return {name: statistics.median(each) for name, each in times.items()}


def peak_flops(device: torch.device, half: bool) -> float:
    """Return the floating-point operations a second of a large matrix product."""
    side = 8192 if device.type == "cuda" else 2048
    kind = torch.bfloat16 if half else torch.float32
    left, right = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    times = seconds({"product": lambda: left @ right}, 8, device)
    return float(2 * side**3 / times["product"])


def busy(step: Step, steps: int = 10) -> float:
    """Return the share of the time in which a GPU runs kernels."""
    device = torch.device("cuda")
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        began = clock.now(device)
        for _ in range(steps):
            step()
        wall = clock.now(device) - began
    return float(sum(event.self_device_time_total for event in found.key_averages()) / 1e6 / wall)


def main() -> None:
    """Print the table and what the step uses."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--gpu", action="store_true", help="measure on the GPU, at its sizes")
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("overrides", nargs="*", help="of cryofix.train")
    given = options.parse_args()
    bare = Bare(train_config(given.overrides, given.gpu))
    with FlopCounterMode(display=False) as counter:
        bare.step()
    times = seconds(variants(given.overrides, given.gpu), given.rounds, bare.device)
    base = times["as configured"]
    print("| step | ms | of the configured one |\n|---|---|---|")
    for name, each in times.items():
        print(f"| {name} | {1000 * each:.1f} | {each / base:.3f} |")
    rate, peak = counter.get_total_flops() / base, peak_flops(bare.device, bare.half)
    print(
        f"\n{counter.get_total_flops() / 1e9:.1f} GFLOP a step, {rate / 1e12:.3g} TFLOP/s:"
        f" {100 * rate / peak:.0f} % of the {peak / 1e12:.3g} TFLOP/s of a large matrix product"
    )
    if bare.device.type == "cuda":
        name = torch.cuda.get_device_name()
        for card, sheet in DATA_SHEET.items():
            if card in name:
                print(f"{100 * rate / 1e12 / sheet:.1f} % of the {sheet:g} TFLOP/s of {name}")
        print(f"kernels run in {100 * busy(bare.step):.0f} % of the time")


if __name__ == "__main__":
    main()
