"""Networks by name."""

from pathlib import Path

import pytest
import torch
from torch import nn

from cryofix.errors import CryofixError
from cryofix.learning.network import (
    build_network,
    fixed_running_statistics,
    folded,
    without_features,
)

SMALL = {"encoder_depth": 4, "decoder_channels": [64, 32, 16, 8]}


@pytest.mark.parametrize(
    ("architecture", "encoder", "options"),
    [
        ("unet", "cryofix_small", SMALL),
        ("unet", "resnet18", {}),
        ("unetplusplus", "resnet18", {}),
        ("fpn", "resnet18", {}),
    ],
)
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_every_network_gives_one_logit_a_pixel(
    architecture: str, encoder: str, options: dict[str, object], norm: str
) -> None:
    network = build_network(architecture=architecture, encoder=encoder, options=options, norm=norm)
    assert network.eval()(torch.randn(1, 1, 64, 96)).shape == (1, 1, 64, 96)
    kinds = {type(part) for part in network.modules()}
    assert (nn.BatchNorm2d in kinds) == (norm == "batch")


def test_training_starts_at_the_prior() -> None:
    network = build_network(options=SMALL, prior=0.04).eval()
    p = torch.sigmoid(network(torch.randn(2, 1, 64, 64))).detach()
    assert 0.01 < float(p.mean()) < 0.12


def test_local_encoder_weights_are_loaded_and_adapted_to_one_channel(tmp_path: Path) -> None:
    import segmentation_models_pytorch as smp

    colour = smp.encoders.get_encoder("resnet18", in_channels=3, depth=5, weights=None)
    torch.save(colour.state_dict(), tmp_path / "resnet18.pt")
    network = build_network(encoder="resnet18", encoder_weights=str(tmp_path / "resnet18.pt"))
    stem = network.state_dict()["encoder.conv1.weight"]
    expected = colour.state_dict()["conv1.weight"].sum(dim=1, keepdim=True)
    torch.testing.assert_close(stem, expected)


@pytest.mark.parametrize(
    ("choice", "named"),
    [
        ({"encoder": "resnet999"}, r"model\.encoder=resnet999"),
        ({"architecture": "nope"}, r"model\.architecture=nope"),
        ({"norm": "layer"}, r"model\.norm=layer"),
        ({"options": {"encoder_deepness": 3}}, r"encoder_deepness"),
    ],
)
def test_names_that_do_not_exist_are_said(choice: dict[str, object], named: str) -> None:
    with pytest.raises(CryofixError, match=named):
        build_network(**choice)  # type: ignore[arg-type] # wrong on purpose


def test_a_file_without_the_encoders_weights_is_named(tmp_path: Path) -> None:
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(CryofixError, match=r"other\.pt"):
        build_network(encoder="resnet18", encoder_weights=str(tmp_path / "other.pt"))


def test_strong_views_leave_running_statistics_alone_and_still_normalise() -> None:
    network = nn.BatchNorm2d(1).train()
    images = 5 + 2 * torch.randn(8, 1, 16, 16)
    with fixed_running_statistics(network):
        normalised = network(images)
    assert network.running_mean is not None
    assert float(network.running_mean.detach()) == 0
    assert abs(float(normalised.detach().mean())) < 1e-5
    assert network.num_batches_tracked == 0
    network(images)
    assert float(network.running_mean.detach()) > 0.1


@pytest.mark.parametrize("architecture", ["unet", "unetplusplus", "fpn"])
def test_dropping_no_feature_is_the_network(architecture: str) -> None:
    torch.manual_seed(0)
    network = build_network(architecture=architecture, encoder="resnet18").eval()
    images = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        found = without_features(network, images, 0.0, [(0,), (1,)])
        torch.testing.assert_close(found, network(images), rtol=0, atol=0)


def test_which_features_are_dropped_depends_on_the_tiles_key_alone() -> None:
    torch.manual_seed(0)
    network = build_network(encoder="resnet18", norm="group").eval()
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        pair = without_features(network, image.repeat(2, 1, 1, 1), 0.5, [(7, 1), (7, 2)])
        alone = without_features(network, image, 0.5, [(7, 2)])
        whole = network(image)
    torch.testing.assert_close(pair[1:], alone)
    assert not torch.allclose(pair[:1], pair[1:])
    assert not torch.allclose(whole, alone)


def test_dropped_features_get_no_gradient_and_the_others_are_scaled_up() -> None:
    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.level = torch.ones(1, 1000, 1, 1, requires_grad=True)

        def encoder(self, images: torch.Tensor) -> list[torch.Tensor]:
            return [images, self.level]

        def decoder(self, features: list[torch.Tensor]) -> torch.Tensor:
            return features[1]

        def segmentation_head(self, decoded: torch.Tensor) -> torch.Tensor:
            return decoded

    parts = Parts()
    left = without_features(parts, torch.zeros(1, 1, 4, 4), 0.75, [(0,)])
    assert set(left.flatten().tolist()) == {0, 4}
    assert float(left.detach().mean()) == pytest.approx(1, abs=0.2)
    (gradient,) = torch.autograd.grad(left.sum(), parts.level)
    assert torch.equal(gradient, left.detach())


def test_an_architecture_whose_features_are_not_a_list_is_said() -> None:
    class Other(nn.Module):
        def encoder(self, images: torch.Tensor) -> tuple[torch.Tensor]:
            return (images,)

    with pytest.raises(CryofixError, match="feature_dropout"):
        without_features(Other(), torch.zeros(1, 1, 4, 4), 0.5, [(0,)])


@pytest.mark.parametrize(
    ("architecture", "encoder", "options", "norms"),
    [
        ("unet", "cryofix_small", SMALL, 0),
        ("unet", "resnet18", {}, 0),
        ("unetplusplus", "resnet18", {}, 42),  # torch.fx cannot follow its forward
    ],
)
def test_a_folded_network_predicts_the_same(
    architecture: str, encoder: str, options: dict[str, object], norms: int
) -> None:
    network = build_network(architecture=architecture, encoder=encoder, options=options)
    network(torch.randn(4, 1, 64, 64))  # running statistics that are not 0 and 1
    network.eval()
    quick = folded(network)
    assert sum(isinstance(part, nn.BatchNorm2d) for part in quick.modules()) == norms
    assert sum(isinstance(part, nn.BatchNorm2d) for part in network.modules()) > 0
    for shape in ((1, 1, 64, 96), (2, 1, 160, 32)):
        images = torch.randn(shape)
        torch.testing.assert_close(quick(images), network(images), atol=1e-4, rtol=1e-4)
