"""The specimen: an asymmetric sum of Gaussian blobs, projected analytically."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

DOMAINS = 6
BLOBS_PER_DOMAIN = 20


@dataclass(frozen=True)
class Protein:
    """Isotropic Gaussian blobs; units are Angstrom, the origin is the centre of mass."""

    positions: NDArray[np.float64]
    """Shape ``(blobs, 3)``, columns x, y, z."""
    weights: NDArray[np.float64]
    """Shape ``(blobs,)``, positive, sum 1."""
    sigma_angstrom: float
    diameter_angstrom: float


def make_protein(diameter_angstrom: float, seed: int) -> Protein:
    """Return a protein of several unequal globular domains around an off-centre core.

    Parameters
    ----------
    diameter_angstrom
        Diameter of the sphere, around the centre of mass, that holds all blobs out to 1.5 sigma.
    seed
        Another seed is another protein.
    """
    generator = np.random.default_rng([seed, 0x9E3779B9])
    sigma = 0.05 * diameter_angstrom
    # Domain centres: of many random sets the one that spreads widest, at unequal distances, so
    # that the protein fills its sphere and no projection looks like another upside down.
    directions = generator.standard_normal((64, DOMAINS, 3))
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    likeness = np.einsum("sik,sjk->sij", directions, directions) - 2 * np.eye(DOMAINS)
    centres = directions[likeness.max(axis=(1, 2)).argmin()]
    centres *= np.linspace(0.35, 0.8, DOMAINS)[:, None]
    radii = generator.uniform(0.35, 0.55, DOMAINS)
    domain = np.repeat(np.arange(DOMAINS), BLOBS_PER_DOMAIN)
    offsets = generator.standard_normal((domain.size, 3))
    offsets *= (generator.uniform(0, 1, domain.size) ** (1 / 3) / np.linalg.norm(offsets, axis=1))[
        :, None
    ]
    positions = centres[domain] + offsets * radii[domain, None]
    weights = generator.uniform(0.5, 1.5, domain.size)
    weights /= weights.sum()
    positions -= weights @ positions
    reach = np.linalg.norm(positions, axis=1).max()
    positions *= (diameter_angstrom / 2 - 1.5 * sigma) / reach
    return Protein(positions, weights, sigma, diameter_angstrom)


def project(
    protein: Protein,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    shape: tuple[int, int],
    pixel_size_angstrom: float,
    generator: np.random.Generator,
    *,
    mass: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    """Return the sum of projections in uniformly random orientations, centred at ``(x, y)``.

    Parameters
    ----------
    protein
        What is projected.
    x, y
        Centres, shape ``(n,)``, in pixels (column, row), with fractions; also outside ``shape``.
    shape
        Rows and columns of the result.
    pixel_size_angstrom
        Pixel size of the result.
    generator
        Where the orientations come from: one draw for each particle, in order.
    mass
        Shape ``(n,)``: factor on each projection; 1 by default.

    Returns
    -------
    NDArray[np.float32]
        Projected density, at least 0. A projection of mass 1 sums to 1 pixel.
    """
    rows, columns = shape
    image = np.zeros(shape, np.float32)
    count = len(x)
    if count == 0:
        return image
    # A normal draw in four dimensions, normalised, is a uniformly random rotation.
    rotations = Rotation.from_quat(generator.standard_normal((count, 4))).as_matrix()
    blobs = np.einsum("nij,bj->nbi", rotations[:, :2], protein.positions) / pixel_size_angstrom
    sigma = protein.sigma_angstrom / pixel_size_angstrom
    half = int(np.ceil(protein.diameter_angstrom / 2 / pixel_size_angstrom + 2 * sigma))
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    pixels = np.arange(-half, half + 1)
    # An isotropic Gaussian is separable, so a projection is one product of two thin matrices.
    blob_x = blobs[:, :, 0] + (x - column)[:, None]
    blob_y = blobs[:, :, 1] + (y - row)[:, None]
    along_x = _gaussian(pixels - blob_x[:, :, None], sigma)
    along_y = _gaussian(pixels - blob_y[:, :, None], sigma) * protein.weights[:, None]
    patches = np.matmul(along_y.transpose(0, 2, 1), along_x)
    if mass is not None:
        patches *= mass[:, None, None]
    for patch, c, r in zip(patches.astype(np.float32), column, row, strict=True):
        top, left = max(r - half, 0), max(c - half, 0)
        bottom, right = min(r + half + 1, rows), min(c + half + 1, columns)
        if top < bottom and left < right:
            image[top:bottom, left:right] += patch[
                top - r + half : bottom - r + half, left - c + half : right - c + half
            ]
    return image


def _gaussian(distance: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Return the normal density of ``distance``."""
    density: NDArray[np.float64] = np.exp(-0.5 * (distance / sigma) ** 2)
    density /= sigma * np.sqrt(2 * np.pi)
    return density
