"""Simulated micrographs with known truth: the default data set, and what the tests run on.

Stylised: blobs instead of proteins. Numbers from these images are no scientific claims.
"""

from cryofix.data.simulation.config import SimulatorConfig
from cryofix.data.simulation.dataset import is_complete, write_dataset
from cryofix.data.simulation.micrograph import Simulated, simulate_micrograph

__all__ = ["Simulated", "SimulatorConfig", "is_complete", "simulate_micrograph", "write_dataset"]
