"""Segmentation networks by name, of segmentation-models-pytorch, and one encoder of ours."""

import inspect
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.encoders import encoders as encoder_registry
from segmentation_models_pytorch.encoders._base import EncoderMixin
from timm import is_model
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from cryofix.checking import shown
from cryofix.data.intensity import sample_generator
from cryofix.errors import CryofixError, reason

SMALL = "cryofix_small"
FIXED = ("encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params")
"""Options of architectures that would make another thing of a network than one logit a pixel."""
UNTRAINED: Mapping[str, None] = {"encoder_weights": None, "initial": None}
"""Settings of a network whose weights are loaded after it has been built."""
VARIABLE = inspect.Parameter.VAR_KEYWORD
BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


class SmallEncoder(nn.Module, EncoderMixin):
    """Four stages of three 3x3 convolutions, each halving the image first.

    A tenth of a ResNet-18's work at the sizes a CPU can train: particles of 24-32 pixels need a
    context of about 100 pixels and few channels.
    """

    def __init__(
        self, widths: Sequence[int] = (16, 32, 64, 64), depth: int = 4, output_stride: int = 32
    ) -> None:
        super().__init__()
        if output_stride < 2**depth:
            raise ValueError(f"{SMALL} cannot be dilated to an output stride of {output_stride}")
        widths = widths[:depth]
        self._depth = depth
        self._in_channels = 3
        self._out_channels = [3, *widths]
        self._output_stride = 2**depth
        inputs = (3, *widths[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(*_block(before, after, 2), *_block(after, after), *_block(after, after))
            for before, after in zip(inputs, widths, strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the input and the features after each stage, as smp's decoders want them."""
        features = [images]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


def _block(before: int, after: int, stride: int = 1) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)


encoder_registry[SMALL] = {"encoder": SmallEncoder, "params": {}, "pretrained_settings": {}}


def build_network(
    *,
    architecture: str = "unet",
    encoder: str = SMALL,
    encoder_weights: str | None = None,
    norm: str = "batch",
    options: dict[str, Any] | None = None,
    prior: float | None = None,
    initial: str | None = None,
) -> nn.Module:
    """Build a one-channel-in, one-logit-out segmentation network.

    Raises CryofixError for names that do not exist and weights that do not fit.

    Parameters
    ----------
    architecture, encoder
        Names of segmentation-models-pytorch, or ``cryofix_small`` for the encoder.
    encoder_weights
        None, a local file with the encoder's state dict, or a name of pretrained weights that
        segmentation-models-pytorch downloads.
    norm
        ``batch``, or ``group`` to replace every batch norm by a group norm of 8 channels a group.
    options
        Further keywords of the architecture (``encoder_depth``, ``decoder_channels``, ...).
    prior
        Share of particle pixels; the last bias starts at its log-odds, so that training does not
        begin by unlearning p = 0.5 everywhere.
    initial
        Run folder or checkpoint of cryofix whose weights the network starts from.
    """
    options = {} if options is None else options
    local = encoder_weights is not None and Path(encoder_weights).expanduser().is_file()
    # timm looks for hf-hub:somebody/model on the network, and for local-dir:path on the disk.
    name = encoder.removeprefix("tu-")
    known_to_timm = name != encoder and re.fullmatch(r"[\w.-]+", name) and is_model(name)
    if encoder not in encoder_registry and not known_to_timm:
        raise CryofixError(
            f"model.encoder={encoder} is not known to segmentation-models-pytorch; use one of its"
            f" encoders (resnet18, resnet34, efficientnet-b0, ...), {SMALL}, or tu- and the name of"
            " one of timm's models"
        )
    kinds = {kind.__name__.lower(): kind for kind in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    if architecture not in kinds:
        raise CryofixError(
            f"model.architecture={architecture} is not known; use one of {', '.join(sorted(kinds))}"
        )
    signature = inspect.signature(kinds[architecture]).parameters.values()
    known = [each.name for each in signature if each.name not in FIXED and each.kind != VARIABLE]
    for key in options:
        if key not in known:
            raise CryofixError(
                f"model.options.{key} is no option of {architecture}; it has {', '.join(known)}"
            )
    try:
        network: nn.Module = smp.create_model(
            architecture,
            encoder_name=encoder,
            encoder_weights=None if local else encoder_weights,
            in_channels=1,
            classes=1,
            **options,
        )
    except Exception as error:  # libraries have many words for options that do not go together
        raise CryofixError(
            f"model.architecture={architecture} with model.encoder={encoder},"
            f" model.encoder_weights={encoder_weights} and model.options={shown(options)} cannot be"
            f" built: {reason(error)}; change one of them"
        ) from error
    if local:
        _load_encoder(network, Path(str(encoder_weights)).expanduser())
    if norm == "group":
        _replace_batch_norms(network)
    elif norm != "batch":
        raise CryofixError(f"model.norm={norm} is not known; use batch or group")
    if prior is not None:
        bias = next(m.bias for m in network.segmentation_head if isinstance(m, nn.Conv2d))  # type: ignore[union-attr] # smp's models are untyped
        nn.init.constant_(bias, math.log(prior / (1 - prior)))  # type: ignore[arg-type] # as above
    if initial is not None:
        from cryofix.learning.checkpoint import load_picker  # which builds networks itself

        if not Path(initial).exists():
            first = "first type `cryofix train experiment=simulated_start` here, or give a run"
            raise CryofixError(f"model.initial={initial} is not there: {first}")
        try:
            network.load_state_dict(load_picker(initial).network.state_dict())
        except (CryofixError, RuntimeError) as error:
            raise CryofixError(
                f"model.initial={initial} is no start for this network: {reason(error)}; give one"
                " of a run with the same model"
            ) from error
    return network


def _load_encoder(network: nn.Module, path: Path) -> None:
    """Load an encoder's state dict from a file, adapting a colour stem to one channel."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        own = network.encoder.state_dict()  # type: ignore[union-attr] # untyped
        for key, value in own.items():
            stored = state.get(key)
            is_stem = stored is not None and value.ndim == 4
            if is_stem and (stored.shape[1], value.shape[1]) == (3, 1):
                state[key] = stored.sum(dim=1, keepdim=True)
        network.encoder.load_state_dict(state)  # type: ignore[union-attr] # untyped
    except Exception as error:
        raise CryofixError(
            f"model.encoder_weights={path} does not hold the weights of this encoder:"
            f" {str(error).splitlines()[0]}; give a file with its state dict, or null"
        ) from error


def _replace_batch_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            groups = math.gcd(child.num_features, max(1, child.num_features // 8))
            setattr(module, name, nn.GroupNorm(groups, child.num_features))
        else:
            _replace_batch_norms(child)


def without_features(
    network: nn.Module, images: Tensor, share: float, keys: Sequence[Sequence[int]]
) -> Tensor:
    """Return logits that a part of the encoder's channels has not contributed to.

    Whole channels at every depth are silenced and the others scaled up, as in spatial dropout
    (Tompson et al. 2015); the image itself, the first of the encoder's outputs, stays.

    ``share``, in [0, 1), of the channels are silenced; each image's draw depends on its key. Raises
    CryofixError for architectures without an encoder that gives one tensor for each depth.
    """
    parts: Any = network
    features = _of_encoder(network, images, "augment.feature_dropout", ".share=0")
    draws = [sample_generator(*key) for key in keys]
    left = features[:1]
    for level in features[1:]:
        drawn = np.stack([draw.uniform(size=level.shape[1]) for draw in draws])
        kept = torch.from_numpy(drawn >= share).to(level.device, level.dtype, non_blocking=True)
        left.append(level * kept[:, :, None, None] / (1 - share))
    logits: Tensor = parts.segmentation_head(parts.decoder(left))
    return logits


def last_features(network: nn.Module, images: Tensor, wanted_by: str) -> Tensor:
    """Return what the segmentation head sees: (batch, channels, rows, columns), maybe smaller.

    Raises CryofixError, with the key that it is ``wanted_by``, for the same architectures.
    """
    parts: Any = network
    found: Tensor = parts.decoder(_of_encoder(network, images, wanted_by, "=none"))
    return found


def _of_encoder(network: nn.Module, images: Tensor, key: str, without: str) -> list[Tensor]:
    """Return the encoder's features of each depth."""
    parts: Any = network
    features = parts.encoder(images)
    if not isinstance(features, list):
        raise CryofixError(
            f"{key} does not know how this model.architecture uses its features: choose another"
            f" architecture, or {key}{without}"
        )
    return features


def folded(network: nn.Module) -> nn.Module:
    """Return a network that predicts the same with its batch norms folded into convolutions.

    Saves a seventh of our small U-Net's time on a CPU; logits agree to rounding. Of the
    architectures torch.fx can follow the U-Net alone; the others are returned as they are. The
    network, in eval mode, is not changed.
    """
    try:
        return fuse(network)
    except Exception:  # tracing calls forwards of all kinds; one that it breaks is used as it is
        return network


@contextmanager
def fixed_running_statistics(network: nn.Module) -> Iterator[None]:
    """Let batch norms use the batch's statistics without moving their running ones.

    The strong view is distorted on purpose; what is kept for prediction must describe real tiles,
    and the control has to be normalised as FixMatch is.
    """
    norms = [part for part in network.modules() if isinstance(part, BATCH_NORMS)]
    tracked = [norm.track_running_stats for norm in norms]
    try:
        for norm in norms:
            norm.track_running_stats = False  # in train mode: the batch's own, nothing written
        yield
    finally:
        for norm, before in zip(norms, tracked, strict=True):
            norm.track_running_stats = before
