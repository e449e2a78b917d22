"""Checkpoints that nobody vouches for: no code, no network, no odd value, and the scale of pick."""

import copy
import importlib
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from cryofix.errors import CryofixError
from cryofix.learning.checkpoint import load_checkpoint, load_picker, save_picker
from cryofix.learning.network import build_network
from disc_finder import draw

MODEL: dict[str, Any] = {
    "architecture": "unet",
    "encoder": "cryofix_small",
    "encoder_weights": None,
    "norm": "batch",
    "options": {"encoder_depth": 4, "decoder_channels": [64, 32, 16, 8]},
}
METADATA: dict[str, Any] = {
    "config": {
        "model": MODEL,
        "mask": {"_target_": "cryofix.masking.Symmetric", "name": "symmetric", "threshold": 0.6},
        "ratio": 0.5,
        "seed": 0,
        "split_seed": 0,
        "label_draw": 0,
        "data": {
            "_target_": "cryofix.data.datamodule.CryoDataModule",
            "ratio": 0.5,
            "seed": 0,
            "particle_px": 24,
            "target_size": 128,
            "radius_fraction": 0.5,
            "highpass_diameters": 4,
            "clip_sigma": 6,
            "added_noise": 2,  # to its own data, not to others
        },
    },
    "prior": 0.05,
    "particle_px": 16.0,  # of 40 pixels in images whose longer side was 320
    "diameter_px": 40.0,
    "diameter_angstrom": 60.0,
    "thresholds": {"pixel": 0.5, "particle": 0.5},
}
Made = Callable[..., Path]


def run(command: str, *overrides: str) -> None:
    """Run a command in this process."""
    main = importlib.import_module(f"cryofix.{command}").main
    with mock.patch.object(sys, "argv", [f"cryofix.{command}", *overrides]):
        main()


def refusal(capsys: pytest.CaptureFixture[str], command: str, *overrides: str) -> str:
    """Run what has to fail and return its sentence."""
    with pytest.raises(SystemExit) as stop:
        run(command, *overrides)
    assert stop.value.code == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four labelled micrographs, half as wide again as those of the training."""
    folder = tmp_path_factory.mktemp("data")
    labels = {}
    for number in range(4):
        name = f"m{number}.mrc"
        truth = draw(folder / name, (360, 480), pixel_size=1.5, count=6, seed=number)
        labels[name] = np.stack([truth.x, 359 - truth.y], axis=1).tolist()  # y from below
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Write a checkpoint, with values at keys with dots, or other weights."""

    def write(changes: dict[str, Any] | None = None, **further: Any) -> Path:
        metadata = copy.deepcopy(METADATA)
        for key, value in (changes or {}).items():
            *inner, last = key.split(".")
            node = metadata
            for part in inner:
                node = node[part]
            if value is KeyError:
                del node[last]
            else:
                node[last] = value
        torch.manual_seed(0)
        path = tmp_path / "made.ckpt"
        save_picker(path, build_network(**MODEL, prior=0.3), metadata)
        if further:
            torch.save({**torch.load(path, weights_only=True), **further}, path)
        return path

    return write


def files(data: Path) -> tuple[str, ...]:
    return (
        "data=micrographs",
        f"data.root={data}",
        "data.images=.",
        "data.coordinates=labels.json",
    )


@pytest.mark.parametrize("command", ["evaluate", "diagnose", "pick"])
@pytest.mark.parametrize(
    "key",
    [
        "config.data.target_size",
        "config.data.particle_px",
        "config.data.clip_sigma",
        "config.ratio",
        "particle_px",
    ],
)
def test_a_checkpoint_runs_no_code(
    command: str,
    key: str,
    made: Made,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    owned = tmp_path / "owned"
    path = made({key: {"_target_": "os.mkdir", "path": str(owned)}})
    output = f"output={tmp_path / 'out'}"
    given = (f"micrographs={data}", "workers=1") if command == "pick" else files(data)
    said = refusal(capsys, command, f"checkpoint={path}", *given, output)
    assert str(path) in said
    assert f"{key}=" in said
    assert not owned.exists()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("config.mask", {"_target_": "os.mkdir", "path": "owned"}, "os.mkdir is no MaskingPolicy"),
        ("config.data.geometry", {"_target_": "os.mkdir", "path": "owned"}, "path is not a key"),
        ("config.data.simulate", {"_target_": "os.mkdir", "path": "owned"}, "path is not a key"),
        ("config.data.images", {"_target_": "os.mkdir", "path": "owned"}, "data.images="),
        ("config.data.never_scored", [{"_target_": "os.mkdir"}], "data.never_scored="),
        ("config.data.images", "${oc.env:SECRET}", "${oc.env:SECRET}"),
        ("config.data.limit", "nope", "data.limit=nope does not fit: give a whole number or null"),
        ("config.data.surprise", 1, "data.surprise is not a key"),
    ],
)
def test_the_data_and_the_mask_of_a_checkpoint_are_plain_values(
    key: str,
    value: Any,
    words: str,
    made: Made,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", "never told")
    own = {"config.data.images": str(data), "config.data.coordinates": str(data / "labels.json")}
    path = made({**({} if key.endswith("simulate") else own), key: value})
    said = refusal(capsys, "diagnose", f"checkpoint={path}", f"output={tmp_path / 'out'}")
    assert words in said
    assert "never told" not in said
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"diameter_px": KeyError}, "diameter_px=null does not fit: give a number"),
        ({"diameter_px": -5.0}, "diameter_px=-5.0 is out of range"),
        ({"particle_px": float("nan")}, "its particle_px is not a number"),
        ({"particle_px": torch.tensor(24.0)}, "its particle_px is a Tensor"),
        ({"diameter_angstrom": "60"}, "diameter_angstrom=60 does not fit: give a number or null"),
        ({"prior": True}, "prior=true does not fit"),
        ({"prior": 10**400}, "its prior is not a number of usual size"),
        ({"thresholds": [0.5, 0.5]}, "thresholds=[0.5, 0.5] does not fit"),
        ({"thresholds.particle": "x"}, "thresholds.particle=x does not fit"),
        ({"config": 5}, "config=5 does not fit"),
        ({"config.data": KeyError}, "config.data=null does not fit"),
        ({"config.data.radius_fraction": "${oc.env:HOME}"}, "config.data.radius_fraction=${oc"),
        ({"config.model.encoder": 1}, "config.model.encoder=1 does not fit: give text"),
        ({"config.model.encoder": "tu-\x1b[2J"}, "its config.model holds 'tu-\\x1b[2J'"),
        ({"config.model.options": {"decoder_channels": 3}}, "cannot be built"),
        ({"config.model.options": {"decoder_channels": [10**9] * 4}}, "holds 1000000000"),
        ({"config.model.options": {"activation": "sigmoid"}}, "model.options.activation is no"),
        ({"config.model.options": None}, "cannot be used: Error(s) in loading"),
        ({"config.model.surprise": 1}, "model.surprise is not a key"),
        ({"config.model.architecture": "fpn", "config.model.options": {}}, "cannot be used"),
        ({"schema": 7}, "schema=7 is out of range"),
    ],
)
def test_what_a_checkpoint_says_wrongly_is_one_sentence(
    changes: dict[str, Any], words: str, made: Made
) -> None:
    path = made(changes)
    with pytest.raises(CryofixError) as error:
        load_picker(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("further", "words"),
    [
        ({"network": 5}, "its network is not a mapping"),
        ({"network": {"a": 1.0}}, "its network holds a"),
        ({"network": {"a": torch.zeros(2)}}, "cannot be used"),
        ({"cryofix": [1]}, "its cryofix=[1] is not a mapping"),
        ({"cryofix": {1: 2}}, "its cryofix is a dict, not a plain value"),
    ],
)
def test_weights_and_metadata_of_another_type_are_one_sentence(
    further: dict[str, Any], words: str, made: Made
) -> None:
    with pytest.raises(CryofixError) as error:
        load_picker(made(**further))
    assert words in str(error.value)


def test_containers_in_containers_without_end_are_one_sentence(made: Made) -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(CryofixError, match="is a list, not a plain value"):
        load_picker(made({"config.data.geometry": circle}))


def test_a_checkpoint_that_was_squeezed_is_refused_before_it_is_unpacked(
    made: Made, tmp_path: Path
) -> None:
    import zipfile

    whole, small = made(), tmp_path / "small.ckpt"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as to:
        for name in source.namelist():
            to.writestr(name, b"\0" * 10**7 if "/data/" in name else source.read(name))
    with pytest.raises(CryofixError, match="cannot be read as plain tensors"):
        load_picker(small)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Count attempts to reach another machine, and refuse them."""
    tried: list[Any] = []

    def refuse(*target: Any, **_: Any) -> None:
        tried.append(target)
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    return tried


@pytest.mark.parametrize(
    "encoder",
    ["tu-hf-hub:x/y", "tu-hf_hub:x/y", "tu-resnet18.hf-hub:x/y", "tu-local-dir:/tmp", "hf-hub:x/y"],
)
def test_a_name_that_a_hub_would_be_asked_for_is_unknown(
    encoder: str, made: Made, offline: list[Any]
) -> None:
    with pytest.raises(CryofixError, match=r"model\.encoder=.* is not known"):
        build_network(encoder=encoder)
    with pytest.raises(CryofixError, match=r"made\.ckpt.*model\.encoder=.* is not known"):
        load_picker(made({"config.model.encoder": encoder}))
    assert offline == []


def test_timms_own_encoders_are_built_without_a_network(offline: list[Any]) -> None:
    build_network(encoder="tu-resnet18.a1_in1k")
    assert offline == []


def test_pretrained_weights_of_the_training_are_not_fetched_for_a_checkpoint(
    made: Made, offline: list[Any]
) -> None:
    load_picker(made({"config.model.encoder_weights": "imagenet"}))
    assert offline == []


def test_evaluate_and_diagnose_show_a_model_micrographs_as_pick_does(
    made: Made, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained where ``target_size=128`` made 40 of 320 pixels 16: they are 16 everywhere."""
    from cryofix.learning.sliding import predict_map

    seen: dict[str, list[tuple[Any, Any]]] = {}
    rooms = {
        "evaluate": "cryofix.learning.evaluation",
        "diagnose": "cryofix.diagnosis.model_pixels",
        "pick": "cryofix.picking.micrographs",
    }
    for command, room in rooms.items():

        def record(*args: Any, _command: str = command, **keywords: Any) -> Any:
            found = predict_map(*args, **keywords)
            seen.setdefault(_command, []).append((args[1], found))
            return found

        monkeypatch.setattr(f"{room}.predict_map", record)
    path = f"checkpoint={made()}"
    run("evaluate", path, *files(data), "part=all", f"output={tmp_path / 'evaluate'}")
    run("diagnose", path, *files(data), "part=test", f"output={tmp_path / 'diagnose'}")
    run("pick", path, f"micrographs={data}", "workers=1", f"output={tmp_path / 'pick'}")
    picked = {image.tobytes(): found for image, found in seen["pick"]}
    assert len(picked) == 4
    for command in ("evaluate", "diagnose"):
        for image, found in seen[command]:
            assert image.shape == (144, 192)
            assert image.tobytes() in picked
            np.testing.assert_allclose(found, picked[image.tobytes()], atol=1e-5)


@pytest.mark.parametrize("command", ["evaluate", "diagnose"])
@pytest.mark.parametrize("key", ["target_size", "particle_px", "clip_sigma"])
def test_a_size_that_follows_from_the_checkpoint_is_not_to_be_typed(
    command: str,
    key: str,
    made: Made,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = f"output={tmp_path / 'out'}"
    given = (f"checkpoint={made()}", *files(data), f"data.{key}=100", output)
    assert f"data.{key}=100 has no effect here" in refusal(capsys, command, *given)


def test_a_damaged_stage_is_one_sentence(made: Made, tmp_path: Path) -> None:
    content = torch.load(made(), weights_only=True)
    stage = {
        "cryofix": content["cryofix"],
        "state_dict": content["network"],
        **{"global_step": 3, "optimizer_states": [{}], "callbacks": {}},
    }
    for key, value in (("global_step", "x"), ("optimizer_states", 5), ("callbacks", None)):
        torch.save({**stage, key: value}, tmp_path / "last.ckpt")
        with pytest.raises(CryofixError, match=rf"last\.ckpt cannot be used: {key}="):
            load_checkpoint(tmp_path / "last.ckpt")
