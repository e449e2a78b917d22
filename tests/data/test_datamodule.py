"""From what a user names to micrographs, splits and batches."""

import json
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from cryofix.config import build, config_folder
from cryofix.data.datamodule import CryoDataModule
from cryofix.data.simulation.dataset import write_dataset
from cryofix.data.simulation.parameters import SimulatorConfig
from cryofix.errors import CryofixError
from cryofix.formats import read_micrograph
from disc_finder import draw

SIMULATED = {"micrographs": 6, "shape": [256, 320]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small simulated micrographs in CryoPPP's layout."""
    path = tmp_path_factory.mktemp("simulated")
    write_dataset(SimulatorConfig(micrographs=6, shape=(256, 320)), path)
    return path


def module(cache: Path, **options: Any) -> CryoDataModule:
    base = {
        "cache": str(cache),
        "ratio": 0.5,
        "seed": 0,
        "test": 1,
        "validation": 1,
        "tile_px": 64,
        "batch_labelled": 3,
        "batch_unlabelled": 2,
    }
    return CryoDataModule(**{**base, **options})


def cryoppp(cache: Path, folder: Path, **options: Any) -> CryoDataModule:
    where = {
        "root": str(folder),
        "images": "micrographs",
        "coordinates": "ground_truth/particle_coordinates",
        "ignored": "ground_truth/ignore_coordinates",
        "allow_empty": True,
    }
    return module(cache, **{**where, **options})


def test_a_folder_written_by_simulate_equals_the_embedded_data(cache: Path, folder: Path) -> None:
    embedded, written = module(cache, simulate=SIMULATED), cryoppp(cache, folder)
    assert embedded.split == written.split
    for one, other in zip(
        embedded.dataset.annotated.values(), written.dataset.annotated.values(), strict=True
    ):
        np.testing.assert_array_equal(one.read(), other.read())
        for mine, theirs in zip(embedded.maps(one), written.maps(other), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    batches = [next(iter(each.train_dataloader()))[0] for each in (embedded, written)]
    torch.testing.assert_close(batches[0]["labelled"]["image"], batches[1]["labelled"]["image"])


@pytest.mark.parametrize(
    "damaged",
    ["simulated/*/ground_truth/particle_coordinates/sim_0001.csv", "arrays/*.npy", "digests/*"],
)
def test_a_damaged_cache_changes_neither_pixels_nor_labels(
    tmp_path: Path, folder: Path, damaged: str
) -> None:
    module(tmp_path, simulate=SIMULATED).setup()
    for path in tmp_path.glob(damaged):
        path.write_bytes(path.read_bytes()[: -(path.stat().st_size // 2)])
    again, whole = module(tmp_path, simulate=SIMULATED), cryoppp(tmp_path / "other", folder)
    for one, other in zip(
        again.dataset.annotated.values(), whole.dataset.annotated.values(), strict=True
    ):
        np.testing.assert_array_equal(one.read(), other.read())
        for mine, theirs in zip(again.maps(one), whole.maps(other), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_particles_are_darker_than_the_rings_around_them(cache: Path) -> None:
    """Labels and pixels are in one frame: turned over, the contrast is gone."""
    clear = {"micrographs": 4, "shape": [384, 512], "snr_min": 0.2, "contamination": 0.0}
    data = module(cache, simulate=clear)
    as_labelled, turned_over = [], []
    for annotated in data.dataset.annotated.values():
        disc = annotated.maps(6, 12)[0]
        ring = annotated.maps(17, 12)[0] & ~annotated.maps(13, 12)[0]
        image = annotated.read()
        as_labelled.append(image[ring].mean() - image[disc].mean())
        turned_over.append(image[::-1][ring].mean() - image[::-1][disc].mean())
    assert np.mean(as_labelled) > 0.15
    assert abs(np.mean(turned_over)) < np.mean(as_labelled) / 3


def test_batches_have_their_shapes_and_keys(cache: Path, folder: Path) -> None:
    batch, _, _ = next(iter(cryoppp(cache, folder).train_dataloader()))
    assert batch["labelled"]["image"].shape == (3, 1, 64, 64)
    assert batch["unlabelled"]["image"].shape == (2, 1, 64, 64)
    assert batch["labelled"]["target"].dtype == torch.float32
    assert batch["labelled"]["valid"].dtype == torch.bool
    assert batch["labelled"]["visible"].all()


def test_control_and_fixmatch_see_the_same_labelled_batches(cache: Path, folder: Path) -> None:
    control, fixmatch = cryoppp(cache, folder), cryoppp(cache, folder)
    control.with_unlabelled = False
    for (one, _, _), (other, _, _) in islice(
        zip(control.train_dataloader(), fixmatch.train_dataloader(), strict=False), 3
    ):
        assert "unlabelled" not in one
        torch.testing.assert_close(one["labelled"]["image"], other["labelled"]["image"])


def test_the_prior_is_the_share_of_particle_pixels(cache: Path, folder: Path) -> None:
    data = cryoppp(cache, folder)
    (name, *_) = data.split.labelled
    target, valid = data.maps(data.dataset.annotated[name])
    assert data.prior_per_micrograph()[0] == pytest.approx(float(target[valid].mean()))


def test_a_part_of_each_labelled_micrograph_can_be_labelled(cache: Path, folder: Path) -> None:
    whole, quarter = (cryoppp(cache, folder, labelled_area=area, ratio=1) for area in (1.0, 0.25))
    for all_of_it, window in zip(whole.part("labelled"), quarter.part("labelled"), strict=True):
        (target, valid), (kept, known) = whole.maps(all_of_it), quarter.maps(window)
        x0, y0, x1, y1 = window.interior
        assert (x1 - x0) * (y1 - y0) == pytest.approx(
            (valid.shape[0] - 1) * (valid.shape[1] - 1) / 4
        )
        rows, columns = np.nonzero(known)
        assert rows.min() >= y0
        assert rows.max() <= y1
        assert columns.min() >= x0
        assert columns.max() <= x1
        assert not (known & ~valid).any()
        assert (kept == target)[known].all()
    counts = [
        sum(len(one.particles or ()) for one in data.part("labelled")) for data in (whole, quarter)
    ]
    assert 0 < counts[1] < counts[0]
    # With nothing else to look at, the unlabelled tiles come from all of the labelled micrographs.
    (first, *_) = quarter.stream("unlabelled").micrographs
    assert first.interior == whole.part("labelled")[0].interior
    few, other = (cryoppp(cache, folder, labelled_area=0.25, label_draw=draw) for draw in (0, 1))
    assert few.split.test == quarter.split.test
    assert few.part("labelled")[0].interior == quarter.part("labelled")[0].interior
    assert few.part("labelled")[0].interior != other.part("labelled")[0].interior


def test_the_layout_of_the_reference_run(cache: Path, tmp_path: Path) -> None:
    """Pictures, one JSON in the image's frame, and a radius in full-resolution pixels."""
    random = np.random.default_rng(0)
    points: dict[str, list[list[float]]] = {}
    for number in range(4):
        picture = random.normal(128, 20, (600, 800))
        x, y = 200 + 100 * number, 150
        picture[y - 30 : y + 31, x - 30 : x + 31] -= 60
        name = f"m{number}.png"
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(tmp_path / name)
        points[name] = [[x, y], [600, 400]]
    (tmp_path / "coordinates.json").write_text(json.dumps(points))
    data = module(
        cache,
        images=str(tmp_path / "*.png"),
        coordinates=str(tmp_path / "coordinates.json"),
        target_size=400,
        particle_radius=42,
        radius_fraction=1.0,
    )
    assert data.radius_px == pytest.approx(21)  # scaled with the image
    for number, annotated in enumerate(data.dataset.annotated.values()):
        assert annotated.micrograph.shape == (300, 400)
        target, _ = data.maps(annotated)
        assert target[75, 100 + 50 * number]
        assert target.sum() == pytest.approx(2 * np.pi * 21**2, rel=0.03)
        image = annotated.read()
        assert image[65:86, 90 + 50 * number : 111 + 50 * number].mean() < image.mean() - 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"diameter_px": 40, "particle_radius": 20}, "more than once"),
        ({"particle_px": 0}, r"data\.particle_px=0"),
        ({"border_px": 200}, r"data\.border_px=200"),
        ({"images": None}, r"data\.images"),
        ({"labelled_area": 0}, r"data\.labelled_area=0"),
        ({"labelled_area": 1.5}, r"data\.labelled_area=1\.5"),
    ],
)
def test_settings_that_make_no_sense_are_said(
    cache: Path, folder: Path, options: dict[str, Any], named: str
) -> None:
    base: dict[str, Any] = {
        "images": str(folder / "micrographs"),
        "coordinates": str(folder / "ground_truth/particle_coordinates"),
        "allow_empty": True,
    }
    with pytest.raises(CryofixError, match=named):
        module(cache, **{**base, **options}).setup()


def test_an_angstrom_diameter_uses_each_files_pixel_size(cache: Path, folder: Path) -> None:
    data = cryoppp(cache, folder, diameter_angstrom=120.0)
    first = next(iter(data.dataset.annotated.values()))
    size = read_micrograph(first.micrograph.source).pixel_size_angstrom
    assert size is not None
    assert data.dataset.of_particles.diameter_px == pytest.approx(120 / size)
    assert data.dataset.particle_px == pytest.approx(24, rel=0.01)
    assert data.dataset.of_particles.diameter_angstrom == pytest.approx(120)


def test_real_micrographs(empiar10017: Path, cache: Path) -> None:
    data = module(
        cache,
        root=str(empiar10017),
        images="micrographs",
        coordinates="coordinates",
        y_origin="top",
        border_px=131,
        limit=3,
    )
    annotated = next(iter(data.dataset.annotated.values()))
    assert annotated.micrograph.shape == (910, 910)
    target, valid = data.maps(annotated)
    assert 0.03 < target[valid].mean() < 0.12
    image = annotated.read()
    assert abs(image[target].mean() - image[~target & valid].mean()) > 0.3


def test_options_of_a_coordinate_format_can_be_given_and_are_named_by_their_keys(
    cache: Path, folder: Path
) -> None:
    """RELION's picks under a suffix of their own, as ``*_automatch.star``."""
    labels = folder / "automatch"
    labels.mkdir(exist_ok=True)
    star = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n100 100\n150 120\n"
    for path in (folder / "micrographs").iterdir():
        (labels / f"{path.stem}_automatch.star").write_text(star)
    common = {"images": str(folder / "micrographs"), "diameter_px": 30.0}
    with pytest.raises(CryofixError, match=r"_autopick\.star.* set data\.read\.suffix="):
        module(cache, coordinates=str(labels), format="relion", **common).setup()
    found = module(cache, coordinates=str(labels), read={"suffix": "_automatch.star"}, **common)
    assert all(len(each.particles or ()) == 2 for each in found.dataset.annotated.values())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, r"data\.outside=drop leaves"),
        ({"read": {"downsample": -2}}, r"data\.read\.downsample=-2 has to be a number above 0"),
        ({"read": {"threshold": 0.5}}, r"data\.read\.threshold is no option of the format topaz"),
        ({"y_origin": "up"}, r"data\.y_origin=up is not known"),
        ({"format": "txt"}, r"data\.format=txt is not known"),
    ],
)
def test_what_is_wrong_with_coordinates_is_said_with_the_keys_of_training(
    cache: Path, folder: Path, options: dict[str, Any], said: str
) -> None:
    names = [path.stem for path in sorted((folder / "micrographs").iterdir())]
    table = folder / "far.tsv"
    rows = "".join(f"{name}\t100\t100\n{name}\t1000\t100\n" for name in names)
    table.write_text("image_name\tx_coord\ty_coord\n" + rows)
    common = {"images": str(folder / "micrographs"), "coordinates": str(table), "diameter_px": 30.0}
    with pytest.raises(CryofixError, match=said):
        module(cache, **common, **options).setup()
    if not options:
        found = module(cache, **common, outside="drop").dataset.annotated
        assert all(len(each.particles or ()) == 1 for each in found.values())


def test_a_limit_keeps_labelled_micrographs_first_and_is_said(
    cache: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    known = sorted((folder / "ground_truth" / "particle_coordinates").glob("*.csv"))[1:4]
    for path in known:
        (labels / path.name).write_bytes(path.read_bytes())
    data = module(
        cache,
        images=str(folder / "micrographs"),
        coordinates=str(labels),
        allow_empty=True,
        limit=4,
    )
    split = data.split
    named = {name for part in (split.test, split.validation, split.labelled) for name in part}
    assert named == {path.stem for path in known}
    assert len(data.dataset.annotated) == 4
    assert "data.limit=4: 4 of 6 micrographs are used, the labelled ones first" in caplog.text


def test_ignored_particles_of_micrographs_beyond_a_limit_are_no_error(
    cache: Path, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "ignored").mkdir()
    for name, x in (("sim_0000", 10), ("sim_0003", 20)):
        table = f"X-Coordinate,Y-Coordinate,Diameter\n{x},40,12\n"
        (tmp_path / "ignored" / f"{name}.csv").write_text(table)
    few = {"limit": 1, "test": 0, "validation": 0, "diameter_px": 20.0}
    options = {"ignored": str(tmp_path / "ignored"), **few}
    found = cryoppp(cache, folder, **options).dataset.annotated
    assert [len(each.ignored) for each in found.values()] == [1]
    (tmp_path / "ignored" / "sim_0000.csv").unlink()
    found = cryoppp(cache, folder, **options).dataset.annotated
    assert [len(each.ignored) for each in found.values()] == [0]


def test_ignored_particles_that_are_not_there_are_refused_unless_they_are_the_default(
    cache: Path, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(CryofixError, match=r"ground_truth/typo does not exist: check the path"):
        cryoppp(cache, folder, ignored="ground_truth/typo").setup()
    real = shutil.copytree(folder, tmp_path / "real")
    shutil.rmtree(real / "ground_truth" / "ignore_coordinates")
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        ignored = compose("train", ["data=cryoppp", f"data.root={real}"]).data.ignored
    found = cryoppp(cache, real, ignored=ignored).dataset.annotated
    assert [len(each.ignored) for each in found.values()] == [0] * 6


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty simulated micrographs in the layout of each data group."""
    root = tmp_path_factory.mktemp("layouts")
    write_dataset(SimulatorConfig(micrographs=20, shape=(320, 320)), root / "cryoppp")
    empiar = root / "empiar10017"
    (empiar / "coordinates").mkdir(parents=True)
    (empiar / "micrographs").mkdir()
    (root / "jpg").mkdir()
    points = {}
    unscored = ["Falcon_2012_06_12-15_07_41_0", "Falcon_2012_06_12-16_51_03_0"]
    for number, path in enumerate(sorted((root / "cryoppp" / "micrographs").glob("*.mrc"))):
        name = unscored[number] if number < 2 else path.stem
        (empiar / "micrographs" / f"{name}.mrc").write_bytes(path.read_bytes())
        label = root / "cryoppp" / "ground_truth" / "particle_coordinates" / f"{path.stem}.csv"
        (empiar / "coordinates" / f"{name}.csv").write_bytes(label.read_bytes())
        image = read_micrograph(path).data
        grey = np.clip(128 + 32 * (image - image.mean()) / image.std(), 0, 255).astype(np.uint8)
        Image.fromarray(grey).save(root / "jpg" / f"{path.stem}.jpg")
        points[f"{path.stem}.jpg"] = [[100, 120], [200, 210]]
    (root / "points.json").write_text(json.dumps(points))
    return root


@pytest.mark.parametrize(
    "choice",
    [
        ("data=synthetic",),
        ("data=cryoppp", "data.root={root}/cryoppp", "data.allow_empty=true"),
        ("data=simulated", "data.root={root}/cryoppp"),
        ("data=empiar10017", "data.root={root}/empiar10017", "data.allow_empty=true"),
        ("data=coordinates_json", "data.images={root}/jpg", "data.coordinates={root}/points.json"),
        (
            "data=micrographs",
            "data.images={root}/empiar10017/micrographs",
            "data.coordinates={root}/empiar10017/coordinates",
            "data.allow_empty=true",
        ),
    ],
    ids=lambda choice: choice[0],
)
def test_a_smoke_run_splits_every_data_group_as_shipped(
    cache: Path, layouts: Path, choice: tuple[str, ...]
) -> None:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        words = ["trainer=smoke", *(word.format(root=layouts) for word in choice)]
        config = compose("train", [*words, f"cache={cache}", "names={data: x, mask: y}"])
        data = build(config.data)
    assert data.split.counts() == {"test": 2, "validation": 1, "labelled": 1, "unlabelled": 4}


def two_magnifications(folder: Path, **settings: Any) -> CryoDataModule:
    """Return two micrographs for each of 1 and 2 Angstrom per pixel, with particles of 60."""
    labels = {}
    for number, size in enumerate((1.0, 1.0, 2.0, 2.0)):
        name = f"m{number}.mrc"
        truth = draw(folder / name, (240, 320), 60 / size, size, count=3, seed=number)
        labels[name] = np.stack([truth.x, 240 - 1 - truth.y], axis=1).tolist()
    (folder / "labels.json").write_text(json.dumps(labels))
    return CryoDataModule(
        cache=str(folder / "cache"),
        ratio=1.0,
        seed=0,
        images=str(folder / "*.mrc"),
        coordinates=str(folder / "labels.json"),
        **settings,
    )


def test_a_size_in_angstrom_is_the_same_at_every_magnification(tmp_path: Path) -> None:
    """60 Angstrom are 60 and 30 pixels: not their median, 45, times that of the pixel sizes."""
    dataset = two_magnifications(tmp_path, diameter_angstrom=60.0).dataset.of_particles
    assert dataset.diameter_angstrom == pytest.approx(60.0)
    assert dataset.diameter_px == pytest.approx(45.0)
    assert dataset.particle_px == 24.0
