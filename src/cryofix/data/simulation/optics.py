"""The microscope: electron wavelength and contrast transfer function (CTF)."""

import math

import numpy as np
from numpy.typing import NDArray


def electron_wavelength_angstrom(voltage_kv: float) -> float:
    """Return the relativistic electron wavelength in Angstrom (0.0197 at 300 kV)."""
    volts = voltage_kv * 1e3
    return 12.2643247 / math.sqrt(volts * (1 + 0.978466e-6 * volts))


def contrast_transfer(
    shape: tuple[int, int],
    pixel_size_angstrom: float,
    *,
    defocus_u_um: float,
    defocus_v_um: float,
    defocus_angle_rad: float = 0.0,
    voltage_kv: float = 300.0,
    cs_mm: float = 2.7,
    amplitude_contrast: float = 0.1,
    phase_shift_rad: float = 0.0,
    b_factor_angstrom2: float = 0.0,
) -> NDArray[np.float32]:
    r"""Return the CTF with its envelope on the half plane of :func:`numpy.fft.rfft2`.

    .. math::
        \mathrm{CTF}(s) = -\sin\left(\tfrac{\pi}{2} C_s \lambda^3 s^4 - \pi \lambda \Delta f s^2
        - \varphi - \arctan\frac{A}{\sqrt{1 - A^2}}\right) e^{-B s^2 / 4}

    Parameters
    ----------
    shape
        Rows and columns of the image in real space.
    pixel_size_angstrom
        Pixel size of that image.
    defocus_u_um, defocus_v_um, defocus_angle_rad
        Defocus along the first and second main axis, in micrometres, positive for underfocus, and
        the angle of the first axis, from +column towards +row.
    voltage_kv, cs_mm, amplitude_contrast, phase_shift_rad, b_factor_angstrom2
        Acceleration voltage, spherical aberration, amplitude contrast A (0 to 1), phase-plate
        shift and the decay B of the envelope.

    Returns
    -------
    NDArray[np.float32]
        Shape ``(rows, columns // 2 + 1)``. With underfocus the CTF is **positive** at low
        frequencies (+A at zero), so a raw micrograph, in which matter is dark, is *minus* the
        projected density after this filter.
    """
    wavelength = electron_wavelength_angstrom(voltage_kv)
    rows, columns = shape
    y = np.fft.fftfreq(rows, pixel_size_angstrom)[:, None].astype(np.float32)
    x = np.fft.rfftfreq(columns, pixel_size_angstrom)[None, :].astype(np.float32)
    s2 = x * x + y * y
    # defocus(angle) * s2 with cos(2 angle) written out in x and y, which spares an arctan2.
    mean = 1e4 * (defocus_u_um + defocus_v_um) / 2
    half = 1e4 * (defocus_u_um - defocus_v_um) / 2
    cosine = half * math.cos(2 * defocus_angle_rad)
    sine = half * math.sin(2 * defocus_angle_rad)
    defocus_s2 = mean * s2 + cosine * (x * x - y * y) + 2 * sine * (x * y)
    offset = phase_shift_rad + math.atan2(amplitude_contrast, math.sqrt(1 - amplitude_contrast**2))
    cs_angstrom = 1e7 * cs_mm
    phase = (math.pi / 2 * cs_angstrom * wavelength**3) * s2 * s2
    phase -= (math.pi * wavelength) * defocus_s2
    phase -= offset
    transfer: NDArray[np.float32] = -np.sin(phase)
    transfer *= np.exp(-b_factor_angstrom2 / 4 * s2)
    return transfer
