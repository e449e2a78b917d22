"""Two processes that share a batch keep the state, and give the labels, that one would."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cryofix.masking.ranks import exact_sums
from support import one_and_two_processes

CONF = Path(__file__).parents[2] / "conf" / "mask"
POLICIES = sorted(path.stem for path in CONF.glob("*.yaml"))
ONE_RANK = Path(__file__).with_name("one_rank.py")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run all policies over the same batches, in one process and in a group of two."""
    folder = tmp_path_factory.mktemp("ranks")
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(3):
        logits = torch.randn((2, 4, 1, 24, 24), generator=generator)
        noise = torch.rand((2, 4, 1, 24, 24), generator=generator)
        unlabelled, labelled = torch.sigmoid(1.5 * logits - 1.0)
        # the ranks have unequal numbers of valid pixels
        valid = noise[0] < torch.tensor([0.9, 0.8, 0.3, 0.0]).view(4, 1, 1, 1)
        batches.append((unlabelled, valid, labelled, (noise[1] < labelled).float()))
    torch.save(batches, folder / "batches.pt")
    return one_and_two_processes(ONE_RANK, folder, CONF)


@pytest.mark.parametrize("policy", POLICIES)
def test_two_ranks_keep_the_state_of_one_bit_for_bit(results: dict[str, Any], policy: str) -> None:
    one = results["1-0"][policy]["state"]
    for rank in ("2-0", "2-1"):
        two = results[rank][policy]["state"]
        assert two.keys() == one.keys()
        assert all(torch.equal(two[key], one[key]) for key in one)


@pytest.mark.parametrize("policy", POLICIES)
def test_two_ranks_give_the_labels_of_one(results: dict[str, Any], policy: str) -> None:
    for part in ("target", "weight"):
        both = torch.cat([results[rank][policy][part] for rank in ("2-0", "2-1")])
        assert torch.equal(both, results["1-0"][policy][part])


def test_the_batches_tell_the_ranks_apart(results: dict[str, Any]) -> None:
    """Without sums over ranks the states would differ: the halves are not alike."""
    halves = [results[rank]["freematch"]["weight"] for rank in ("2-0", "2-1")]
    assert not torch.equal(*halves)
    assert torch.count_nonzero(halves[0]) > torch.count_nonzero(halves[1])


def test_sums_do_not_depend_on_the_order_of_the_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(100_000, generator=generator)
    where = values < 0.7
    order = torch.randperm(len(values), generator=generator)
    first = exact_sums((values, where), (1 - values, ~where))
    second = exact_sums((values[order], where[order]), (1 - values[order], ~where[order]))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
    assert first[0][0].item() == pytest.approx(values[where].double().sum().item(), rel=1e-6)
    assert first[1].tolist() == [int(where.sum()), int((~where).sum())]
