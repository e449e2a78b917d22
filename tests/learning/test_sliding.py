import numpy as np
import pytest
import torch
from segmentation_models_pytorch import Unet
from torch import Tensor, nn

from cryofix.errors import CryofixError
from cryofix.learning.network import build_network
from cryofix.learning.sliding import predict_map


def local_network(reach: int = 12) -> nn.Module:
    """Give convolutions and pooling on a grid of 4, with batch norm and a known reach."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(4),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=4),
        nn.Conv2d(8, 1, 5, padding=2),
    ).eval()  # fmt: skip


def image(rows: int = 250, columns: int = 331) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32)


@pytest.mark.parametrize("tile", [64, 96, 128, 256, 1024])
@pytest.mark.parametrize("batch", [1, 5])
def test_the_map_of_a_local_network_does_not_depend_on_the_tiles(tile: int, batch: int) -> None:
    network = local_network()
    whole = predict_map(network, image())
    tiled = predict_map(network, image(), tile=tile, margin=16, batch=batch)
    assert np.abs(whole - tiled).max() < 1e-5
    assert whole.std() > 0.01


@pytest.mark.parametrize("tile", [320, 384])
def test_the_map_of_a_real_unet_does_not_depend_on_the_tiles(tile: int) -> None:
    torch.manual_seed(0)
    network = Unet(
        "resnet18", encoder_weights=None, in_channels=1, encoder_depth=4,
        decoder_channels=(64, 32, 16, 8),
    ).eval()  # fmt: skip
    whole = predict_map(network, image(400, 420))
    tiled = predict_map(network, image(400, 420), tile=tile, margin=144)
    assert np.abs(whole - tiled).max() < 1e-4


SMALL = {"encoder_depth": 4, "decoder_channels": [64, 32, 16, 8]}  # of model=unet_small


def discs(shape: tuple[int, int], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw dark particles of 24 pixels in noise; return the image and where they are."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    centres = random.uniform(0, 1, (count, 2)) * shape
    inside = np.zeros(shape, dtype=bool)
    for row, column in centres:
        inside |= np.hypot(rows - row, columns - column) < 12
    return (random.normal(size=shape) - 1.5 * inside).astype(np.float32), inside


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """Train the default network until it finds discs: its norms and weights are no longer new."""
    torch.manual_seed(0)
    network = build_network(options=SMALL, prior=0.1)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.003)
    for step in range(40):
        seen, inside = zip(*(discs((96, 96), 3, seed=4 * step + i) for i in range(4)), strict=True)
        logits = network(torch.from_numpy(np.stack(seen))[:, None])
        target = torch.from_numpy(np.stack(inside)).float()[:, None]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, target)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return network.eval()


def test_the_map_of_a_trained_model_does_not_depend_on_the_tiles(trained: nn.Module) -> None:
    seen, inside = discs((390, 450), 30, seed=10_000)
    whole = predict_map(trained, seen)
    assert whole[inside].mean() > 0.7  # it has learnt what a particle is
    assert whole[~inside].mean() < 0.2
    maps = [predict_map(trained, seen, tile=tile) for tile in (320, 384)]
    assert max(np.abs(each - whole)[inside].max() for each in maps) < 1e-3


def test_a_margin_below_the_reach_of_a_trained_model_is_seen(trained: nn.Module) -> None:
    seen, inside = discs((390, 450), 30, seed=10_000)
    cut = predict_map(trained, seen, tile=64, margin=16)
    assert np.abs(cut - predict_map(trained, seen))[inside].max() > 0.01


def test_a_group_norm_does_depend_on_the_tiles() -> None:
    # Why the docstring warns: the norm's statistics are those of what the network is shown.
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(1, 8), nn.ReLU(), nn.Conv2d(8, 1, 1)
    )
    uneven = image() * np.linspace(0.2, 2.0, 331, dtype=np.float32)
    whole = predict_map(network, uneven)
    tiled = predict_map(network, uneven, tile=64, margin=16)
    assert np.abs(whole - tiled).max() > 0.01


@pytest.mark.parametrize("shape", [(250, 331), (32, 64), (5, 7), (1, 40), (33, 31)])
def test_the_map_has_the_shape_of_the_image_and_is_a_probability(shape: tuple[int, int]) -> None:
    found = predict_map(local_network(), image(*shape))
    assert found.shape == shape
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1


def test_every_pixel_stays_in_its_place() -> None:
    found = predict_map(nn.Identity(), image(), tile=64, margin=16)
    expected = 1 / (1 + np.exp(-image()))
    assert np.allclose(found, expected, atol=1e-6)
    for average_views in (False, True):
        whole = predict_map(nn.Identity(), torch.from_numpy(image()), average_views=average_views)
        assert np.allclose(whole, expected, atol=1e-6)


class Shift(nn.Module):
    """Move everything one pixel to the right."""

    def forward(self, tiles: Tensor) -> Tensor:
        return torch.roll(tiles, 1, dims=-1)


def test_the_average_of_views_treats_all_directions_alike() -> None:
    point = np.full((64, 64), -9.0, np.float32)
    point[30, 30] = 9.0
    found = predict_map(Shift(), point, average_views=True)
    neighbours = found[[29, 31, 30, 30], [30, 30, 29, 31]]
    assert neighbours == pytest.approx(np.full(4, 0.25), abs=1e-3)


def test_modules_return_to_their_modes_even_after_an_error() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1))
    network[1].eval()  # frozen on purpose
    predict_map(network, image())
    assert network.training
    assert network[0].training
    assert not network[1].training
    with pytest.raises(CryofixError, match="one logit for each pixel"):
        predict_map(nn.Sequential(nn.Conv2d(1, 2, 1)).train(), image())


def test_no_gradient_is_recorded_and_a_running_batch_norm_does_not_move() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    predict_map(network, image())
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_bfloat16_gives_nearly_the_map_of_float32() -> None:
    network = local_network()
    full, half = (
        predict_map(network, image(), dtype=dtype) for dtype in (torch.float32, torch.bfloat16)
    )
    assert half.dtype == np.float32
    assert 0 < np.abs(full - half).max() < 0.02


@pytest.mark.parametrize(("tile", "margin"), [(100, 16), (128, 20), (64, 32), (128, -16)])
def test_tiles_that_do_not_fit_the_grid_are_refused(tile: int, margin: int) -> None:
    with pytest.raises(CryofixError, match="do not fit"):
        predict_map(local_network(), image(), tile=tile, margin=margin)


def test_a_stack_is_refused() -> None:
    with pytest.raises(CryofixError, match="rows and columns"):
        predict_map(local_network(), np.zeros((1, 64, 64), np.float32))
