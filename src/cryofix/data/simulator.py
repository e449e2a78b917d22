"""Simulated micrographs with known truth: the default data set, and what the tests run on.

Stylised: blobs instead of proteins. Numbers from these images are no scientific claims.
"""

from cryofix.data.simulation.dataset import is_complete, write_dataset
from cryofix.data.simulation.imaging import Simulated, simulate_micrograph
from cryofix.data.simulation.parameters import SimulatorConfig

__all__ = ["Simulated", "SimulatorConfig", "is_complete", "simulate_micrograph", "write_dataset"]
