"""Networks by name."""

from pathlib import Path

import pytest
import torch
from torch import nn

from cryofix.errors import CryofixError
from cryofix.learning.network import build_network, fixed_running_statistics

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
