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
# # Your data: from a folder of micrographs to picks in a STAR file
#
# You have a folder of micrographs, and somebody has picked a few of them by hand. That is all that
# is needed: `cryofix.train` learns from the labelled few and from the unlabelled rest,
# `cryofix.pick` picks all of them, and RELION (or another program) takes the picks.
#
# The folder here is simulated, so that the notebook runs anywhere and the picks can be compared
# with the truth. With your own data, leave out the first step and put your paths into `IMAGES` and
# `LABELS`.

# %% tags=["parameters"]
MICROGRAPHS = 12  # to simulate
LABELLED = 5  # of them, picked by hand
IMAGES, LABELS = "data/micrographs", "labels"
# A few of the default's steps, and an average over fewer: the notebook ends in about two minutes of
# one core. In earnest, leave them out.
TRAINING = ("steps.burn_in=200", "steps.stage=100", "teacher.decay=0.95", "seed=0")

# %%
import shutil
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import starfile
from matplotlib_inline.backend_inline import set_matplotlib_formats
from terminal import Terminal

from cryofix.formats import micrograph_name, read_coordinates, read_info, read_micrograph
from cryofix.metrics.matching import match
from cryofix.metrics.particles import centres
from cryofix.reporting.plots import draw_circles

plt.rcParams.update({"figure.dpi": 100, "figure.constrained_layout.use": True})
set_matplotlib_formats("jpeg")  # a tenth of a PNG where everything is noise
scratch = tempfile.TemporaryDirectory()  # it goes with the kernel; take a folder of yours to keep
cryofix = Terminal(Path(scratch.name))  # runs `python -m cryofix.COMMAND ...` there

# %% [markdown]
# ## A folder of micrographs
# MRC files, and a CSV of particle centres for each, as CryoPPP has them. Only the first few CSVs
# go into the folder of labels; the others stay hidden until the end.

# %%
cryofix("simulate", "output=data", f"micrographs={MICROGRAPHS}", "seed=3", "workers=1")
coordinates = sorted((cryofix.folder / "data/ground_truth/particle_coordinates").glob("*.csv"))
for number, file in enumerate(coordinates):
    part = cryofix.folder / ("labels" if number < LABELLED else "hidden")
    part.mkdir(exist_ok=True)
    shutil.copy(file, part)

# %% [markdown]
# Look at what you are going to train on: the labels have to sit on particles. y is the usual
# suspect, because programs disagree about which end of a file it counts from
# ([docs/formats.md](../docs/formats.md)); `cryofix.train` compares both ways and says so if yours
# look upside down.

# %%
images = sorted((cryofix.folder / IMAGES).glob("*.mrc"))
headers = {micrograph_name(path): read_info(path) for path in images}
by_hand = read_coordinates(cryofix.folder / LABELS, headers)
diameter = np.median(np.concatenate([each.diameter_px for each in by_hand.values()]))


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


def circle(axis, particles, colour, style="-"):
    """Draw particles as circles of the diameter that the labels have."""
    draw_circles(axis, centres(particles), diameter, colour, style)


figure, axes = plt.subplots(1, 2, figsize=(9, 4.7))
for axis, name in zip(axes, by_hand, strict=False):
    show(axis, name)
    circle(axis, by_hand[name], "#56b4e9")
    axis.set_title(f"{name}: {len(by_hand[name])} labels")
plt.show()

# %% [markdown]
# ## Train
# `ratio=1` uses all labels there are, apart from those that validation and test need. A micrograph
# without coordinates is *unlabelled*, not empty.

# %%
cryofix(
    "train",
    "data=micrographs",
    f"data.images={IMAGES}",
    f"data.coordinates={LABELS}",
    "ratio=1",
    *TRAINING,
    "output=runs/mine",
)

# %% [markdown]
# With so few labels, test is a micrograph or two, and the intervals say so. `selected` is the
# better of both models on validation, and the one that `checkpoint=runs/mine` means from here on.
#
# ## Pick
# Whole micrographs, any size, with the preprocessing of the training; the threshold is the one that
# validation chose.

# %%
cryofix(
    "pick",
    "checkpoint=runs/mine",
    f"micrographs={IMAGES}",
    "output=picks",
    "format=star",
    "workers=1",
)

# %% [markdown]
# What RELION takes, for `relion_preprocess --extract` or as input coordinates of an extraction job,
# is `picks/relion/autopick.star`: a list of micrographs, and a STAR file of picks for each.
# `picks/index.html` is a page with all of them, on which the threshold can be moved.

# %%
star = cryofix.folder / "picks/relion/autopick.star"
listed = starfile.read(star)
listed.head(3)

# %%
starfile.read(cryofix.folder / listed["rlnMicrographCoordinates"][0]).head(3)

# %% [markdown]
# ## Look at the picks
# On two of the micrographs that nobody labelled, against the truth of the simulator: picks that
# have a particle (blue), picks that have none (orange), and particles without a pick (yellow,
# dashed). Some orange ones are particles that touch another or are cut off by the edge; they count
# for neither side in the scores below.

# %%
picked = read_coordinates(star, headers)
truth = read_coordinates(cryofix.folder / "hidden", headers)

figure, axes = plt.subplots(1, 2, figsize=(11, 5.8))
for axis, name in zip(axes, truth, strict=False):
    picks, particles = picked[name], truth[name]
    pairs = match(centres(picks), centres(particles), diameter / 2)
    right = np.isin(np.arange(len(picks)), pairs.pick)
    found = np.isin(np.arange(len(particles)), pairs.truth)
    show(axis, name)
    circle(axis, picks.select(right), "#56b4e9")
    circle(axis, picks.select(~right), "#e4572e")
    circle(axis, particles.select(~found), "#f2c200", "--")
    axis.set_title(f"{name}: {found.sum()} of {len(found)} found, {(~right).sum()} other picks")
plt.show()

# %% [markdown]
# ## Score them
# `cryofix.evaluate picks=...` scores any program's picks by the same rules; several programs go
# side by side with `picks={ours: ..., topaz: ...}`. Here: all micrographs that nobody labelled.

# %%
cryofix(
    "evaluate",
    "picks=picks/relion/autopick.star",
    "data=micrographs",
    f"data.images={IMAGES}",
    "data.coordinates=hidden",
    "data.ignored=data/ground_truth/ignore_coordinates",
    "part=all",
    "threshold=0",
    "output=scores",
)
