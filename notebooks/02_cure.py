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
# # The cure: all masks side by side
#
# [01_collapse.ipynb](01_collapse.ipynb) lost the particles with one mask, a confidence threshold.
# Here every mask of `conf/mask` looks at the same teacher and the same tile: what does it keep as
# particle, what as background, what does it ignore, and what is it wrong about? Then three of them
# train.

# %% tags=["parameters"]
MASKS = ("symmetric", "class_aware", "quota")  # to train with
# Given to `python -m cryofix.train`: the collapse of the first notebook, shorter still. All of this
# notebook takes about three minutes of one core.
SETTINGS = (
    "experiment=collapse",
    "steps.burn_in=200",
    "steps.stage=80",
    "steps.validate_every=80",
    "unlabelled.ramp_steps=80",
    "teacher.decay=0.95",
    "seed=0",
)

# %%
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import yaml
from IPython.display import Markdown
from matplotlib.patches import Patch
from terminal import Terminal

from cryofix.config import build, config_folder
from cryofix.data.datamodule import no_progress
from cryofix.diagnosis.model_pixels import observe_network
from cryofix.diagnosis.overlay import grey, paint
from cryofix.diagnosis.policies import apply_policy, build_policy
from cryofix.diagnosis.verdict import percent, signed
from cryofix.learning.checkpoint import load_picker
from cryofix.reporting.plots import BACKGROUND, IGNORED, PARTICLES, WRONG

plt.rcParams.update({"figure.dpi": 100, "figure.constrained_layout.use": True})
scratch = tempfile.TemporaryDirectory()  # it goes with the kernel; take a folder of yours to keep
cryofix = Terminal(Path(scratch.name))  # runs `python -m cryofix.COMMAND ...` there

# %% [markdown]
# ## Train
# The training comes first, because it also makes the teacher. With `-m` each mask is a run of its
# own; the burn-in and the supervised control are trained once and shared by all, so every mask
# starts from the same weights, and is compared with the same control.

# %%
cryofix("train", "-m", f"mask={','.join(MASKS)}", *SETTINGS, "hydra.sweep.dir=runs/masks")

# %% [markdown]
# ## One teacher, one tile
# The teacher is the model at the fork: it has seen the labelled micrographs, and nothing of what
# follows. Here is what it says of a micrograph that nobody labelled (the simulator knows the
# particles: white circles).

# %%
(checkpoint,) = (cryofix.folder / "runs/masks/stages").glob("*/burn_in/last.ckpt")
teacher = load_picker(checkpoint)
data = build(teacher.metadata["config"]["data"])
seen = observe_network(
    "the teacher",
    teacher.network,
    data,
    "unlabelled",
    prior=teacher.metadata["prior"],
    mask=None,
    counter=no_progress,
)
example = seen.example
side = 160
# The tile of the micrograph in which the teacher finds most.
corners = [
    (row, column)
    for row in range(0, example.image.shape[0] - side + 1, side // 4)
    for column in range(0, example.image.shape[1] - side + 1, side // 4)
]


def cut(values, corner):
    """Return the tile with its first pixel at (row, column)."""
    row, column = corner
    return values[row : row + side, column : column + side]


best = max(corners, key=lambda corner: cut(example.probability >= 0.5, corner).sum())
image, prob, truth, valid = (
    cut(values, best)
    for values in (example.image, example.probability, example.truth, example.valid)
)

figure, axes = plt.subplots(1, 3, figsize=(11, 3.8))
axes[0].imshow(image, cmap="gray", vmin=-3, vmax=3)
axes[0].set_title("micrograph, and true discs")
shown = axes[1].imshow(prob, cmap="cividis", vmin=0, vmax=1)
axes[1].set_title("the teacher's p, and p = 0.5")
axes[1].contour(prob, levels=[0.5], colors="white", linewidths=1, linestyles="--")
figure.colorbar(shown, ax=axes[1], shrink=0.85)
for axis in axes[:2]:
    axis.contour(truth, levels=[0.5], colors="white", linewidths=0.8)
    axis.set(xticks=[], yticks=[])
_, bins, _ = axes[2].hist(
    np.clip(example.probability[example.valid], 0, 1), bins=40, color=BACKGROUND, log=True
)
axes[2].hist(example.probability[example.valid & example.truth], bins=bins, color=PARTICLES)
axes[2].set(xlabel="p", ylabel="pixels", title="whole micrograph; orange: true particles")
plt.show()

# %% [markdown]
# ## Every mask on it
# Each mask is built from its file in `conf/mask` with its defaults, as `mask=NAME` would do.
# Those with a memory (histograms, moving averages) get theirs from all unlabelled micrographs, and
# stand where they would at the end of the stage. Under each picture: which share of the
# pixels *predicted* as each class it keeps over all unlabelled micrographs (for masks that weigh,
# the mean weight), and the drift, the logarithm of their ratio.
#
# Orange is kept as particle, blue as background, bare grey is ignored, yellow is kept and wrong, so
# taught against the truth. The stronger the colour, the larger the weight. Dark discs, where
# there are any, count for neither side: particles touch there, or one is hidden.

# %%
context = seen.context(progress=1.0)
files = sorted((config_folder() / "mask").glob("*.yaml"))
columns = 6
rows = -(-len(files) // columns)
figure, axes = plt.subplots(rows, columns, figsize=(2.1 * columns, 3.1 * rows))
for axis in axes.flat[len(files) :]:
    axis.set_axis_off()
for axis, file in zip(axes.flat, files, strict=False):
    policy = build_policy(yaml.safe_load(file.read_text()))
    everywhere = apply_policy(policy, seen.histogram, context)
    overlay = paint(grey(image), prob, truth, valid, everywhere.policy, context)
    kept = everywhere.rates(seen.prior)
    axis.imshow(overlay.painted, interpolation="nearest")
    axis.set_title(file.stem, fontsize=11)
    axis.set_xlabel(
        f"particles {percent(kept['particle_keep'])}\n"
        f"background {percent(kept['background_keep'])}\n"
        f"drift {signed(kept['drift'])}",
        fontsize=9,
    )
    axis.set(xticks=[], yticks=[])
handles = [
    Patch(color=PARTICLES, label="kept as particle"),
    Patch(color=BACKGROUND, label="kept as background"),
    Patch(color=WRONG, label="kept and wrong"),
    Patch(color=IGNORED, label="ignored"),
]
figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
plt.show()

# %% [markdown]
# Masks that look at confidence alone treat both classes by one threshold, and pay with drift for
# whatever the teacher is unsure of. Masks by class, by rank or by prior can keep both classes
# alike. Zero drift is not all, though: a mask may keep both classes equally and be wrong about
# many of them (yellow), or keep so few pixels that little is learnt.
#
# ## What came of three of them
# All from the same burn-in, against the same control. One seed, few steps, and the collapse
# preset's heavy pseudo-labels: an illustration of what a mask can prevent. Whether one is better
# than labels alone takes seeds, label draws and the settings of a real training.

# %%
results = [
    json.loads((cryofix.folder / f"runs/masks/{number}/results.json").read_text())
    for number in range(len(MASKS))
]
models = {"control": results[0]["supervised"]} | {one["mask"]: one["fixmatch"] for one in results}
scores = {
    "pixel recall at 0.5": ("pixel", "recall"),
    "pixel F1 at 0.5": ("pixel", "f1"),
    "pixel average precision": ("pixel", "average_precision"),
    "particle F1": ("particle", "f1"),
}
colours = ["#555555", "#e4572e", "#4c78a8", "#f2c200"]

figure, axis = plt.subplots(figsize=(9, 3.8))
width = 0.8 / len(models)
for number, (name, found) in enumerate(models.items()):
    heights = [found[kind][score] for kind, score in scores.values()]
    places = np.arange(len(scores)) + (number - (len(models) - 1) / 2) * width
    bars = axis.bar(places, heights, 0.92 * width, color=colours[number % 4], label=name)
    axis.bar_label(bars, fmt="%.2f", fontsize=8)
axis.set(ylim=(0, 1.05), ylabel="test micrographs")
axis.set_xticks(range(len(scores)), scores)
axis.legend(ncols=len(models), loc="upper left", frameon=False)
plt.show()

# %%
rows = [
    f"| {one['mask']} | {one['gain']['pixel_f1']['value']:+.3f} "
    f"| {one['gain']['average_precision']['value']:+.3f} "
    f"| {one['gain']['particle_f1']['value']:+.3f} "
    f"| {one['collapse']['first_step'] or 'none'} | {one['selected']} |"
    for one in results
]
Markdown(
    "| mask | pixel F1, gain | average precision, gain | particle F1, gain | alarm at step "
    "| selected |\n|---|---|---|---|---|---|\n" + "\n".join(rows)
)

# %% [markdown]
# Gains are over the supervised control. `python -m cryofix.report sweep=DIR` makes a page of such a
# sweep, with intervals and over as many seeds, ratios and masks as you like:
#
# ```
# python -m cryofix.train -m mask=symmetric,class_aware,quota ratio=0.05,0.1 seed=0,1,2
# ```
#
# To write a mask of your own: [docs/add_a_policy.md](../docs/add_a_policy.md); it appears above as
# soon as its file is in `conf/mask`. Next: [03_your_data.ipynb](03_your_data.ipynb).
