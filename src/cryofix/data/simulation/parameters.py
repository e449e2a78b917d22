"""What a simulated data set can be told, in plain values that YAML can hold."""

from dataclasses import dataclass, field, fields
from typing import cast

from cryofix.checking import check_types
from cryofix.errors import CryofixError

VERSION = 4
"""Counts changes of the images that one configuration gives, so that old ones are not mixed in."""


@dataclass(frozen=True)
class SimulatorConfig:
    """Settings of one simulated data set; a *range* is drawn from anew for each micrograph.

    Raises CryofixError when a value makes no sense; the sentence names the key.
    """

    micrographs: int = 60
    """How many micrographs the data set has; micrograph ``i`` is the same whatever this says."""
    shape: tuple[int, int] = (640, 640)
    """Rows and columns."""
    pixel_size_angstrom: float = 2.5
    particle_diameter_angstrom: float = 120.0

    particles_per_micrograph: float = 48.0
    """Mean number of particles placed, the ignored ones included, aggregates not."""
    crowding_spread: float = 0.4
    """Standard deviation of that number between micrographs, as a share of its mean."""
    pair_fraction: float = 0.06
    """Share of the particles that lie too close to another one to be told apart."""

    voltage_kv: float = 300.0
    cs_mm: float = 2.7
    amplitude_contrast: float = 0.1
    phase_shift_rad: float = 0.0
    b_factor_angstrom2: float = 50.0
    defocus_min_um: float = 0.8
    defocus_max_um: float = 3.0
    astigmatism_um: float = 0.08
    """Largest difference between the two main defoci."""

    snr_min: float = 0.045
    snr_max: float = 0.2
    """Signal variance over noise variance inside the particle discs, drawn log-uniformly."""
    dose_electrons_per_angstrom2: float = 40.0
    dose_spread: float = 0.15
    """Standard deviation of the dose between micrographs, as a share of its mean."""
    structured_noise: float = 0.08
    """Largest share of the noise variance that is coloured (ice, inelastic scattering), 0 to 1;
    the share is drawn uniformly from 0."""
    ice_gradient: float = 0.25
    """Largest relative change of the transmitted dose across a micrograph."""

    contamination: float = 0.7
    """0 (none) to 1 (bad grid): scales how often and how many of everything unwanted there is."""

    protein_seed: int = 0
    """Which protein the data set shows."""
    proteins: int = 1
    """How many proteins the data set has; micrograph ``i`` shows number ``i`` modulo that."""
    seed: int = 0
    """Everything else that is random."""

    version: int = field(default=VERSION, init=False)
    """Of the simulator; part of the settings so that a cache keyed by them notices."""

    def __post_init__(self) -> None:
        values = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.init}
        check_types(values, SimulatorConfig)
        # YAML has no tuples.
        object.__setattr__(self, "shape", tuple(self.shape))
        self._check_ranges()
        if len(self.shape) != 2 or min(self.shape) < 4 * self.particle_diameter_px:
            raise CryofixError(
                f"shape={list(self.shape)} must be two sides of at least four particle diameters "
                f"({4 * self.particle_diameter_px:.0f} pixels): enlarge shape or "
                "pixel_size_angstrom"
            )
        if self.particle_diameter_px < 8:
            raise CryofixError(
                f"particle_diameter_angstrom={self.particle_diameter_angstrom} is "
                f"{self.particle_diameter_px:.1f} pixels at pixel_size_angstrom="
                f"{self.pixel_size_angstrom}; it must be at least 8 pixels"
            )

    @property
    def particle_diameter_px(self) -> float:
        """Particle diameter in pixels."""
        return self.particle_diameter_angstrom / self.pixel_size_angstrom

    def _check_ranges(self) -> None:
        """Raise for the first value outside its range."""
        positive = (
            "micrographs",
            "proteins",
            "pixel_size_angstrom",
            "particle_diameter_angstrom",
            "voltage_kv",
            "snr_min",
            "dose_electrons_per_angstrom2",
            "defocus_min_um",
        )
        upper = {
            "particles_per_micrograph": float("inf"),
            "crowding_spread": 3.0,
            "pair_fraction": 0.5,
            "cs_mm": float("inf"),
            "amplitude_contrast": 0.99,
            "b_factor_angstrom2": float("inf"),
            "astigmatism_um": float("inf"),
            "dose_spread": 0.3,
            "structured_noise": 0.99,
            "ice_gradient": 0.9,
            "contamination": 1.0,
            "protein_seed": float("inf"),
            "proteins": float("inf"),
            "seed": float("inf"),
        }
        for key in positive:
            value = getattr(self, key)
            if not 0 < value < float("inf"):
                raise CryofixError(f"{key}={value} must be above 0 and finite: change it")
        for key, bound in upper.items():
            value = getattr(self, key)
            if not 0 <= value <= bound:
                raise CryofixError(f"{key}={value} must lie between 0 and {bound}: change it")
        for low, high in (("snr_min", "snr_max"), ("defocus_min_um", "defocus_max_um")):
            if not getattr(self, low) <= getattr(self, high):
                raise CryofixError(
                    f"{low}={getattr(self, low)} is above {high}={getattr(self, high)}: swap them"
                )

    def as_dict(self) -> dict[str, int | float | list[int]]:
        """Return what the constructor takes, as JSON holds it (``shape`` as a list)."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.init}
        return cast("dict[str, int | float | list[int]]", values | {"shape": list(self.shape)})
