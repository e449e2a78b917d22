"""What is hidden of unlabelled tiles, and what the student learns from telling it."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cryofix.errors import CryofixError
from cryofix.learning.auxiliary import Noise2Void, unexplained
from cryofix.learning.network import build_network

KEYS = [(0, 20, 0), (0, 20, 1)]


def tiles(seed: int = 0) -> Tensor:
    return torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_hidden_pixels_show_the_value_of_another_nearby() -> None:
    """Each pixel has a number of its own, which says where a value is from."""
    images = torch.arange(2 * 32 * 32, dtype=torch.float32).reshape(2, 1, 32, 32)
    seen, (tiles_of, y, x) = Noise2Void(share=0.1, reach_px=2).hide(images, KEYS)
    hidden = torch.zeros_like(images, dtype=torch.bool)
    hidden[tiles_of, 0, y, x] = True
    assert hidden.sum(dim=(1, 2, 3)).tolist() == [102, 102]
    torch.testing.assert_close(seen[~hidden], images[~hidden])
    assert not torch.equal(hidden[0], hidden[1])
    shown = seen[tiles_of, 0, y, x].long()
    assert torch.equal(shown // 1024, tiles_of)
    away = torch.stack([shown % 1024 // 32 - y, shown % 32 - x]).abs()
    assert int(away.max()) == 2
    assert bool((away.sum(dim=0) > 0).all()), "no hidden pixel shows itself"


def test_draws_depend_on_the_key_alone() -> None:
    first, again = (Noise2Void().hide(tiles(), KEYS)[0] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, Noise2Void().hide(tiles(), [(1, 20, 0), (1, 20, 1)])[0])


def test_what_features_do_not_explain_is_what_least_squares_leaves() -> None:
    signal, noise = tiles(1).flatten(), tiles(2).flatten()
    features = torch.stack([signal * 3 + 5, torch.zeros_like(signal)], dim=1)
    counts = torch.arange(len(signal)) < 2000
    damaged = torch.where(counts, signal, torch.nan)

    def share(values: Tensor, where: Tensor = counts) -> float:
        return float(unexplained(features, values, where))

    assert share(damaged * -2 + 1) == pytest.approx(0, abs=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert share(damaged * -2 + 1) == pytest.approx(0, abs=1e-6)
    assert share(damaged + noise) == pytest.approx(0.5, abs=0.03)
    assert share(noise) == pytest.approx(1, abs=0.01)
    assert share(noise) == pytest.approx(residual(features[:2000, :1], noise[:2000]), abs=1e-6)
    assert share(noise, counts & False) == 0


def residual(features: Tensor, values: Tensor) -> float:
    """Return the same by another library."""
    given = np.column_stack([features.numpy(), np.ones(len(values))])
    _, (left,), *_ = np.linalg.lstsq(given.astype(float), values.double().numpy())
    return float(left / len(values) / values.numpy().var())


def test_the_network_learns_to_tell_hidden_pixels_and_no_invalid_one_counts() -> None:
    torch.manual_seed(0)
    network = build_network()
    smooth = nn.functional.avg_pool2d(tiles(), 5, 1, 2) * 5
    valid = torch.ones_like(smooth, dtype=torch.bool)
    optimiser = torch.optim.Adam(network.parameters(), 0.003)
    losses = []
    for step in range(40):
        loss = Noise2Void(share=0.1)(network, smooth, valid, [(step, 0), (step, 1)])
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    damaged = smooth.clone()
    damaged[1] = torch.nan
    valid[1] = False
    task, network = Noise2Void(), network.eval()
    whole, half = (task(network, images, valid, KEYS).detach() for images in (smooth, damaged))
    assert float(half) == pytest.approx(float(whole), abs=1e-5)
    assert float(task(network, smooth, valid & False, KEYS).detach()) == 0


@pytest.mark.parametrize("architecture", ["fpn", "unetplusplus"])
def test_networks_whose_heads_enlarge_learn_too(architecture: str) -> None:
    network = build_network(architecture=architecture, encoder="resnet18")
    images = torch.randn(2, 1, 64, 64)
    loss = Noise2Void()(network, images, torch.ones_like(images, dtype=torch.bool), KEYS)
    torch.autograd.backward(loss)
    assert 0 < float(loss.detach()) <= 1.001
    assert any(bool((part.grad != 0).any()) for part in network.encoder.parameters())  # type: ignore[union-attr] # smp's models are untyped


@pytest.mark.parametrize(
    ("key", "value"), [("weight", -1.0), ("share", 0.9), ("reach_px", 0), ("reach_px", 17)]
)
def test_settings_out_of_range_are_refused(key: str, value: float) -> None:
    with pytest.raises(CryofixError, match=rf"auxiliary\.{key}={value}"):
        Noise2Void(**{key: value})  # type: ignore[arg-type] # reach_px is whole
