import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cryofix.data.simulation import placement
from cryofix.data.simulation.dataset import write_dataset
from cryofix.data.simulation.imaging import Simulated, simulate_micrograph
from cryofix.data.simulation.parameters import VERSION, SimulatorConfig
from cryofix.errors import CryofixError
from cryofix.formats import (
    Particles,
    find_micrographs,
    index_micrographs,
    read_coordinates,
    read_micrograph,
)

SMALL = SimulatorConfig(micrographs=3, shape=(320, 384), particles_per_micrograph=14)
CLEAN = replace(SMALL, contamination=0.0, ice_gradient=0.0, pair_fraction=0.0, crowding_spread=0.0)


def xy(particles: Particles) -> NDArray[np.float64]:
    return np.stack([particles.x, particles.y], axis=1)


def same(first: Simulated, second: Simulated) -> bool:
    return (
        np.array_equal(first.image, second.image)
        and np.array_equal(xy(first.particles), xy(second.particles))
        and np.array_equal(xy(first.ignored), xy(second.ignored))
    )


def test_a_micrograph_depends_on_seed_and_index_alone() -> None:
    reference = simulate_micrograph(SMALL, 2)
    for index in (0, 1):
        simulate_micrograph(SMALL, index)
    assert same(reference, simulate_micrograph(SMALL, 2))
    assert same(reference, simulate_micrograph(replace(SMALL, micrographs=500), 2))
    assert not same(reference, simulate_micrograph(SMALL, 1))
    assert not same(reference, simulate_micrograph(replace(SMALL, seed=1), 2))


def test_an_image_is_finite_single_precision_electrons() -> None:
    simulated = simulate_micrograph(replace(SMALL, contamination=1.0), 0)
    assert simulated.image.shape == SMALL.shape
    assert simulated.image.dtype == simulated.signal.dtype == np.float32
    assert np.isfinite(simulated.image).all()
    electrons = simulated.dose_electrons_per_angstrom2 * SMALL.pixel_size_angstrom**2
    assert simulate_micrograph(CLEAN, 0).image.mean() == pytest.approx(electrons, rel=0.02)


@pytest.mark.parametrize("defocus_um", [0.8, 1.5, 3.0])
def test_particles_are_dark_against_their_surroundings(defocus_um: float) -> None:
    config = replace(
        CLEAN, snr_min=0.05, snr_max=0.05, defocus_min_um=defocus_um, defocus_max_um=defocus_um
    )
    simulated = simulate_micrograph(config, 0)
    low_passed = ndimage.gaussian_filter(simulated.image, 2)
    rows, columns = np.indices(config.shape)
    contrast = []
    for x, y in xy(simulated.particles):
        distance = np.hypot(columns - x, rows - y) / config.particle_diameter_px
        inside = low_passed[distance < 0.35].mean()
        contrast.append(inside - low_passed[(distance > 0.5) & (distance < 0.8)].mean())
    assert len(contrast) > 5
    assert np.mean(contrast) < 0
    assert np.mean(np.array(contrast) < 0) > 0.8


@pytest.mark.parametrize("snr", [0.005, 0.03, 0.2])
@pytest.mark.parametrize("structured_noise", [0.0, 0.3])
def test_measured_snr_inside_the_discs_is_the_one_asked_for(
    snr: float, structured_noise: float
) -> None:
    config = replace(CLEAN, snr_min=snr, snr_max=snr, structured_noise=structured_noise)
    simulated = simulate_micrograph(config, 1)
    discs = np.zeros(config.shape, bool)
    rows, columns = np.indices(config.shape)
    for x, y in xy(simulated.particles):
        discs |= np.hypot(columns - x, rows - y) <= config.particle_diameter_px / 2
    noise = (simulated.image - simulated.signal)[discs]
    assert simulated.signal[discs].var() / noise.var() == pytest.approx(snr, rel=0.02)
    assert simulated.snr == pytest.approx(snr)


def test_signal_is_really_in_the_image() -> None:
    # The same noise with and without particles: what differs is the signal.
    config = replace(CLEAN, snr_min=0.1, snr_max=0.1)
    simulated = simulate_micrograph(config, 0)
    empty = simulate_micrograph(replace(config, particles_per_micrograph=0.0), 0)
    assert len(empty.particles) == len(empty.ignored) == 0
    np.testing.assert_allclose(simulated.image - empty.image, simulated.signal, atol=1e-3)


def test_noise_is_white_counting_noise_without_a_structured_part() -> None:
    config = replace(CLEAN, particles_per_micrograph=0.0, structured_noise=0.0, dose_spread=0.0)
    image = simulate_micrograph(config, 0).image.astype(np.float64)
    assert image.mean() == pytest.approx(40 * 2.5**2, rel=1e-3)
    assert image.var() == pytest.approx(40 * 2.5**2, rel=0.03)
    neighbours = np.corrcoef(image[:, 1:].ravel(), image[:, :-1].ravel())[0, 1]
    assert abs(neighbours) < 0.02
    coloured = simulate_micrograph(replace(config, structured_noise=0.5), 0).image
    assert np.corrcoef(coloured[:, 1:].ravel(), coloured[:, :-1].ravel())[0, 1] > 0.1


def test_every_particle_is_inside_and_listed_once() -> None:
    for index in range(4):
        simulated = simulate_micrograph(replace(SMALL, contamination=1.0), index)
        everything = np.vstack([xy(simulated.particles), xy(simulated.ignored)])
        assert (everything >= 0).all()
        assert (everything <= [SMALL.shape[1] - 1, SMALL.shape[0] - 1]).all()
        assert len(np.unique(everything, axis=0)) == len(everything)
        assert simulated.particles.diameter_px is not None
        assert np.all(simulated.particles.diameter_px == 48)


def test_labelled_particles_are_whole_and_lie_apart() -> None:
    config = replace(SMALL, contamination=1.0, pair_fraction=0.4)
    radius = config.particle_diameter_px / 2
    pairs = 0
    for index in range(6):
        simulated = simulate_micrograph(config, index)
        clean, ignored = xy(simulated.particles), xy(simulated.ignored)
        assert (clean >= radius).all()
        assert (clean <= np.array(config.shape[::-1]) - 1 - radius).all()
        everything = np.vstack([clean, ignored])
        distances = np.hypot(*(clean[:, None] - everything[None]).transpose(2, 0, 1))
        distances[np.arange(len(clean)), np.arange(len(clean))] = np.inf
        assert distances.min(initial=np.inf) >= 0.8 * config.particle_diameter_px
        if len(ignored) > 1:
            between = np.hypot(*(ignored[:, None] - ignored[None]).transpose(2, 0, 1))
            pairs += int((between[np.triu_indices(len(ignored), 1)] < 30).sum())
    assert pairs > 3


def test_particles_under_contamination_are_ignored() -> None:
    mask = np.zeros((100, 100), bool)
    mask[:, 50:] = True
    positions = np.array([[20.0, 50.0], [50.0, 50.0], [80.0, 50.0], [35.0, 50.0], [31.0, 50.0]])
    share = placement.covered_share(positions, mask, diameter_px=40)
    np.testing.assert_allclose(share, [0, 0.5, 1, 0.07, 0.004], atol=0.03)
    assert list(share > placement.OBSCURED_SHARE) == [False, True, True, False, False]


def test_contamination_leaves_the_particles_where_they_were_and_hides_some() -> None:
    clean = replace(SMALL, contamination=0.0)
    hidden = 0
    for index in range(12):
        before = simulate_micrograph(clean, index)
        after = simulate_micrograph(replace(SMALL, contamination=1.0), index)
        was = {tuple(each) for each in np.vstack([xy(before.particles), xy(before.ignored)])}
        still = {tuple(each) for each in xy(after.particles)}
        assert still <= was
        assert sum(before.contamination.values()) == 0
        hidden += len(before.particles) - len(after.particles)
    assert hidden > 5


def test_micrographs_of_one_data_set_differ_in_what_makes_them_hard() -> None:
    config = replace(SMALL, shape=(256, 256), particles_per_micrograph=10.0, contamination=1.0)
    series = [simulate_micrograph(config, index) for index in range(24)]
    counts = [len(each.particles) + len(each.ignored) for each in series]
    assert min(counts) <= 4
    assert max(counts) >= 15
    assert np.ptp([each.defocus_um for each in series]) > 1.5
    snr = np.array([each.snr for each in series])
    assert snr.max() / snr.min() > 3
    assert ((snr >= config.snr_min) & (snr <= config.snr_max)).all()
    for kind in ("carbon_edges", "ice_crystals", "ethane_drops", "gold_beads", "hot_pixels"):
        present = [each.contamination[kind] > 0 for each in series]
        assert any(present), kind
    carbon = [each.contamination["carbon_edges"] > 0 for each in series]
    assert not all(carbon)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"snr_min": 0.3}, "snr_min=0.3"),
        ({"defocus_min_um": 4.0}, "defocus_min_um"),
        ({"contamination": 1.5}, "contamination=1.5"),
        ({"pixel_size_angstrom": 0.0}, "pixel_size_angstrom=0.0"),
        ({"shape": (100, 768)}, "shape=[100, 768]"),
        ({"particle_diameter_angstrom": 10.0}, "particle_diameter_angstrom=10.0"),
        ({"micrographs": 0}, "micrographs=0"),
        ({"snr_max": float("nan")}, "snr_max=nan"),
        ({"snr_max": "high"}, "snr_max=high"),
        ({"micrographs": 2.5}, "micrographs=2.5"),
        ({"shape": 768}, "shape=768"),
        ({"shape": ("a", "b")}, 'shape=["a", "b"]'),
    ],
)
def test_nonsense_settings_are_refused_by_name(change: dict[str, object], named: str) -> None:
    with pytest.raises(CryofixError) as caught:
        replace(SimulatorConfig(), **change)  # type: ignore[arg-type] # one table for all keys
    assert named in str(caught.value)


def test_settings_from_yaml_with_a_list_for_the_shape_are_the_same_settings() -> None:
    values = json.loads(json.dumps(SMALL.as_dict()))
    assert SimulatorConfig(**values) == SMALL


def test_caches_keyed_by_the_settings_notice_another_version_of_the_simulator() -> None:
    assert asdict(SMALL)["version"] == VERSION
    assert replace(SMALL, seed=1).version == VERSION


def test_a_written_data_set_reads_back_with_its_particles_in_place(tmp_path: Path) -> None:
    marker = write_dataset(SMALL, tmp_path)
    micrographs = index_micrographs(find_micrographs(tmp_path / "micrographs"))
    assert list(micrographs) == ["sim_0000", "sim_0001", "sim_0002"]
    folder = tmp_path / "ground_truth"
    labels = read_coordinates(folder / "particle_coordinates", micrographs, allow_empty=True)
    ignored = read_coordinates(folder / "ignore_coordinates", micrographs, allow_empty=True)
    for index, (name, info) in enumerate(micrographs.items()):
        simulated = simulate_micrograph(SMALL, index)
        assert info.pixel_size_angstrom == pytest.approx(2.5)
        assert np.array_equal(read_micrograph(info.path).data, simulated.image)
        np.testing.assert_allclose(xy(labels[name]), xy(simulated.particles), atol=1e-3)
        np.testing.assert_allclose(xy(ignored[name]), xy(simulated.ignored), atol=1e-3)
    content = json.loads(marker.read_text())
    assert "no scientific claims" in content["notice"]
    assert content["config"]["snr_max"] == SMALL.snr_max
    assert [each["name"] for each in content["micrographs"]] == list(micrographs)
    assert content["micrographs"][0]["particles"] == len(labels["sim_0000"])


def test_csvs_count_y_from_the_last_row_as_cryoppp_does(tmp_path: Path) -> None:
    write_dataset(replace(CLEAN, micrographs=1), tmp_path)
    lines = (tmp_path / "ground_truth/particle_coordinates/sim_0000.csv").read_text().split()
    assert lines[0] == "X-Coordinate,Y-Coordinate,Diameter"
    x, y, diameter = map(float, lines[1].split(","))
    truth = simulate_micrograph(CLEAN, 0).particles
    assert (x, CLEAN.shape[0] - y) == pytest.approx((truth.x[0], truth.y[0]), abs=1e-3)
    assert diameter == 48


def test_an_empty_micrograph_gets_a_header_and_no_particles(tmp_path: Path) -> None:
    write_dataset(replace(CLEAN, micrographs=1, particles_per_micrograph=0.0), tmp_path)
    for kind in ("particle", "ignore"):
        text = (tmp_path / f"ground_truth/{kind}_coordinates/sim_0000.csv").read_text()
        assert text.split() == ["X-Coordinate,Y-Coordinate,Diameter"]


def test_an_interrupted_data_set_is_resumed_where_it_stopped(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        assert total == 3
        if done == 2:
            raise StopError

    with pytest.raises(StopError):
        write_dataset(SMALL, tmp_path / "a", progress=stop)
    assert not (tmp_path / "a/simulation.json").exists()
    first = tmp_path / "a/micrographs/sim_0000.mrc"
    before = first.stat().st_mtime_ns
    # As if the second had been cut off between its image and its truth.
    (tmp_path / "a/truth/sim_0001.json").unlink()
    (tmp_path / "a/micrographs/sim_0001.mrc").write_bytes(b"half")
    resumed = write_dataset(SMALL, tmp_path / "a")
    assert first.stat().st_mtime_ns == before
    whole = write_dataset(SMALL, tmp_path / "b", workers=2)
    assert resumed.read_bytes() == whole.read_bytes()
    for index in range(3):
        one, two = (
            read_micrograph(tmp_path / f"{x}/micrographs/sim_{index:04d}.mrc") for x in "ab"
        )
        assert np.array_equal(one.data, two.data)


def test_two_writers_of_one_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(write_dataset, SMALL, tmp_path / "shared") for _ in range(2)]
        markers = {each.result() for each in both}
    alone = write_dataset(SMALL, tmp_path / "alone")
    assert [marker.read_bytes() for marker in markers] == [alone.read_bytes()]

    def files(folder: Path) -> dict[str, bytes]:
        found = (path for path in folder.rglob("*") if path.suffix == ".csv")
        return {str(path.relative_to(folder)): path.read_bytes() for path in found}

    assert files(tmp_path / "shared") == files(tmp_path / "alone")
    assert not list(tmp_path.rglob(".*"))
    for index in range(3):
        name = f"micrographs/sim_{index:04d}.mrc"
        expected = simulate_micrograph(SMALL, index).image
        assert np.array_equal(read_micrograph(tmp_path / "shared" / name).data, expected)


def test_a_data_set_grows_and_neither_shrinks_nor_mixes_settings(tmp_path: Path) -> None:
    write_dataset(replace(SMALL, micrographs=1), tmp_path)
    seen: list[tuple[int, int]] = []
    marker = write_dataset(
        replace(SMALL, micrographs=2), tmp_path, progress=lambda *step: seen.append(step)
    )
    assert seen == [(1, 2), (2, 2)]
    assert len(json.loads(marker.read_text())["micrographs"]) == 2
    with pytest.raises(CryofixError, match=r"sim_0001 and more micrographs than micrographs=1"):
        write_dataset(replace(SMALL, micrographs=1), tmp_path)
    with pytest.raises(CryofixError, match=r"other settings \(snr_min\)"):
        write_dataset(replace(SMALL, micrographs=2, snr_min=0.011), tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "ground_truth/particle_coordinates/sim_0001.csv",
        "ground_truth/ignore_coordinates/sim_0001.csv",
        "micrographs/sim_0001.mrc",
        "truth/sim_0001.json",
        "simulation.json",
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_a_data_set_with_a_file_cut_off_is_made_whole_again(
    tmp_path: Path, name: str, share: float, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(CLEAN, micrographs=2, shape=(128, 160), particle_diameter_angstrom=60.0)
    write_dataset(config, tmp_path)
    before = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(before[: int(share * len(before))])
    write_dataset(config, tmp_path)
    assert (tmp_path / name).read_bytes() == before
    assert name == "simulation.json" or str(tmp_path / name) in caplog.text
