# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your data: from thirty clicks to picks in a STAR file
#
# You have a folder of micrographs, and you clicked on some particles of one of them. That is all
# that is needed: `cryofix train` learns from the clicks and from the micrographs without any,
# `cryofix pick` picks all of them, and RELION or another program takes the picks.
#
# The folder here has eight micrographs of EMPIAR-10017 where they are at hand, and simulated ones
# elsewhere. All their particles are known, so the clicks can be drawn and the picks can be
# compared with the truth. With your own data leave out the first step, and make the clicks with
# `cryofix label`.

# %% tags=["parameters"]
import os
from pathlib import Path

REAL = Path(os.environ.get("CRYOFIX_DATA", "../../shared/data")) / "empiar-10017"  # None simulates
MICROGRAPHS = 8
CLICKS = 30
# The presets have 1500 + 1500 and 100 + 200 steps. With fewer the notebook ends in about four
# minutes of one core. Leave both lines out for a training that you use.
START = ("steps.burn_in=250", "steps.stage=150", "seed=0")
TRAINING = ("steps.burn_in=100", "steps.stage=100", "seed=0")

# %%
import shutil
import tempfile

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import starfile
from matplotlib_inline.backend_inline import set_matplotlib_formats
from terminal import Terminal

from cryofix.formats import micrograph_name, read_coordinates, read_info, read_micrograph
from cryofix.metrics.area import Area
from cryofix.metrics.particles import centres, judged
from cryofix.reporting.plots import FOUND, draw_circles, draw_rings

plt.rcParams.update({"figure.dpi": 100, "figure.constrained_layout.use": True})
set_matplotlib_formats("jpeg")  # a tenth of a PNG where everything is noise
scratch = tempfile.TemporaryDirectory()  # it goes with the kernel; take a folder of yours to keep
cryofix = Terminal(Path(scratch.name))  # runs `python -m cryofix.COMMAND ...` there

# %% [markdown]
# ## A folder of micrographs, and clicks in one of them
# `truth` gets the coordinates of all particles, and training never sees it.

# %%
folder = cryofix.folder
(folder / "micrographs").mkdir()
if REAL is not None and REAL.is_dir():
    found = sorted((REAL / "micrographs").iterdir())[:MICROGRAPHS]
    known = REAL / "coordinates"
    border = 131  # px; no label of this data set lies closer to an edge
else:
    cryofix("simulate", "output=data", f"micrographs={MICROGRAPHS}", "seed=3", "workers=1")
    found = sorted((folder / "data/micrographs").glob("*.mrc"))
    known = folder / "data/ground_truth/particle_coordinates"
    border = 0
(folder / "truth").mkdir()
for path in found:
    (folder / "micrographs" / path.name).symlink_to(path.resolve())
    shutil.copy(known / f"{path.stem}.csv", folder / "truth")

headers = {micrograph_name(path): read_info(path) for path in found}
truth = read_coordinates(folder / "truth", headers, y_origin="top")
clicked = next(iter(truth))
diameter = float(np.median(truth[clicked].diameter_px))
chosen = np.random.default_rng(0).choice(len(truth[clicked]), CLICKS, replace=False)
clicks = truth[clicked].select(chosen)
columns = {"X-Coordinate": clicks.x, "Y-Coordinate": clicks.y, "Diameter": diameter}
(folder / "clicks").mkdir()
pd.DataFrame(columns).to_csv(folder / "clicks" / f"{clicked}.csv", index=False)

# %% [markdown]
# Look at what you are going to train on: the clicks have to sit on particles. y is the usual
# suspect, because programs disagree about which end of a file it counts from
# ([docs/formats.md](../docs/formats.md)). `cryofix train` compares both ways and says so if yours
# look upside down.


# %%
def show(axis, name):
    """Draw a micrograph as far as its grey values say something, row 0 at the top."""
    pixels = read_micrograph(headers[name].path).data
    # Means of 2 x 2 pixels: less noise than the full resolution.
    rows, columns = (side // 2 * 2 for side in pixels.shape)
    small = pixels[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))
    middle = np.median(small)
    reach = 4 * np.median(np.abs(small - middle))  # ice and carbon have no say in it
    extent = (-0.5, columns - 0.5, rows - 0.5, -0.5)
    axis.imshow(small, cmap="gray", vmin=middle - reach, vmax=middle + reach, extent=extent)
    axis.set(xticks=[], yticks=[])


figure, axis = plt.subplots(figsize=(6, 6.2))
show(axis, clicked)
draw_circles(axis, centres(clicks), diameter, FOUND)
axis.set_title(f"{clicked}: {len(clicks)} clicks")
plt.show()

# %% [markdown]
# ## Train
# Few labels are learnt best from weights that know what particles look like. They come from
# simulated micrographs of many proteins, and one set of them serves all your data.

# %%
cryofix("train", "experiment=simulated_start", *START, "output=runs/start")

# %% [markdown]
# Now the clicks. What was not clicked is *unknown*, not background, and so is the number of
# particles. You give a guess of it, here the mean of the known ones to the nearest fifty.

# %%
guess = max(50 * round(np.mean([len(each) for each in truth.values()]) / 50), 25)
cryofix(
    "train",
    "experiment=few_labels",
    "ratio=1",
    "data=micrographs",
    "data.images=micrographs",
    "data.coordinates=clicks",
    f"data.particles_per_micrograph={guess}",
    "model.initial=runs/start",
    *TRAINING,
    "output=runs/mine",
)

# %% [markdown]
# Precision cannot be measured with clicks, because a pick without a click may be right. `selected`
# is the better of both models on the clicks that were kept for validation, and it is the one that
# `checkpoint=runs/mine` means from here on.
#
# ## Pick
# The threshold gives as many picks as you guessed, on average.

# %%
cryofix(
    "pick",
    "checkpoint=runs/mine",
    "micrographs=micrographs",
    "output=picks",
    "format=star",
    "workers=1",
)

# %% [markdown]
# What RELION takes, for `relion_preprocess --extract` or as input coordinates of an extraction job,
# is `picks/relion/autopick.star`: a list of micrographs, and a STAR file of picks for each.
# `picks/index.html` is a page with all of them, on which the threshold can be moved.

# %%
star = folder / "picks/relion/autopick.star"
listed = starfile.read(star)
listed.head(3)

# %%
starfile.read(folder / listed["rlnMicrographCoordinates"][0]).head(3)

# %% [markdown]
# ## Look at the picks
# In a part of the last micrograph, in which nobody clicked. A pick is *found* where a particle is
# known within half a diameter, and *extra* where none is. *Not scored* are those at the edge.

# %%
picked = read_coordinates(star, headers)
name = list(truth)[-1]
rows, width = headers[name].shape
side = min(rows, width, round(20 * diameter)) - 2 * border * (rows < 20 * diameter)
left, top = (width - side) // 2, (rows - side) // 2
area = Area((left, top, left + side, top + side))
seen = Area((left - diameter, top - diameter, left + side + diameter, top + side + diameter))
picks, particles = (each.select(seen.holds(each.x, each.y)) for each in (picked[name], truth[name]))
figure, axis = plt.subplots(figsize=(7.5, 8))
show(axis, name)
draw_rings(axis, judged(picks, particles, diameter=diameter, area=area), diameter, name)
axis.set(xlim=(left, left + side), ylim=(top + side, top))
plt.show()

# %% [markdown]
# ## Score them
# `cryofix evaluate picks=...` scores any program's picks by the same rules; several programs go
# side by side with `picks='{ours: ..., topaz: ...}'`. Here it scores all micrographs against all
# known particles. Where labels are incomplete, as in EMPIAR-10017, precision is a lower bound.
#
# The scores are lower than those of [docs/label.md](../docs/label.md): this notebook trains for
# far fewer steps, and the labels of one of its micrographs miss many particles. Average precision
# is low, because the file holds only picks at or above the threshold; `picks/relion_low_scores`
# has the others.

# %%
cryofix(
    "evaluate",
    "picks=picks/relion/autopick.star",
    "data=micrographs",
    "data.images=micrographs",
    "data.coordinates=truth",
    "data.y_origin=top",
    f"data.border_px={border}",
    "part=all",
    "threshold=0",
    "output=scores",
)
