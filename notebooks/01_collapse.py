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
# # The collapse: reproduce it, look at it, diagnose it
#
# FixMatch lets a *teacher* label micrographs that nobody labelled, keeps the pixels that it is
# confident of, `max(p, 1 - p) >= 0.70`, and makes a *student* repeat those labels. It works for
# cats and dogs. In cryo-EM it can lose every particle: particles are 3-5 % of the pixels, a weak
# teacher is unsure of them, so what it keeps is mostly background, and a student of background
# makes the next teacher less sure still.
#
# This notebook makes that happen on the embedded simulated data, in a few minutes on one core. The
# data are stylised and this is one seed: it shows what happens, not how often
# ([docs/collapse.md](../docs/collapse.md) has more seeds, and what carries the collapse).

# %% tags=["parameters"]
# What is given to `python -m cryofix.train`. The preset burns in for 400 steps and has 400 after
# the fork; with these the notebook ends in about two minutes of one core. The average that is
# scored is over fewer steps, too.
SETTINGS = (
    "experiment=collapse",
    "steps.burn_in=200",
    "steps.stage=150",
    "unlabelled.ramp_steps=150",
    "teacher.decay=0.95",
    "seed=0",
)

# %%
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from IPython.display import Image, Markdown
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from terminal import Terminal

from cryofix.config import build
from cryofix.learning.checkpoint import load_picker
from cryofix.learning.evaluation import predict
from cryofix.reporting.plots import BACKGROUND, FIXMATCH, NEUTRAL, PARTICLES, SUPERVISED

plt.rcParams.update({"figure.dpi": 100, "figure.constrained_layout.use": True})
scratch = tempfile.TemporaryDirectory()  # it goes with the kernel; take a folder of yours to keep
cryofix = Terminal(Path(scratch.name))  # runs `python -m cryofix.COMMAND ...` there

# %% [markdown]
# ## Reproduce it
# A burn-in with labels alone, then a fork. The *control* goes on with labels alone; *FixMatch*
# goes on from the same weights, with the same labelled batches, and with pseudo-labels on top. So
# whatever differs at the end comes from the pseudo-labels.

# %%
cryofix("train", *SETTINGS, "output=runs/collapse")

# %% [markdown]
# Look at *pixel recall at 0.5*. The last lines matter to whoever picks particles: on validation the
# better of the two models is *selected*, so a collapse costs time and not particles.
#
# ## Look at it
# Recall on the validation micrographs, from the events that TensorBoard shows. The model that is
# scored is a running average of the student; the student itself falls first.

# %%
run = cryofix.folder / "runs" / "collapse"
results = json.loads((run / "results.json").read_text())
fork = results["steps"]["burn_in"]


def curve(branch: str, tag: str) -> tuple[list[int], list[float]]:
    """Return steps after the fork and values of a scalar."""
    events = EventAccumulator(str(run / "tensorboard" / branch)).Reload()
    known = tag in events.Tags()["scalars"]  # not if there never was anything to divide by
    points = events.Scalars(tag) if known else []
    return [point.step - fork for point in points], [point.value for point in points]


figure, axis = plt.subplots(figsize=(7, 3.6))
for branch, tag, colour, style, label in (
    ("supervised", "pixel_recall", SUPERVISED, "o-", "supervised control"),
    ("fixmatch", "pixel_recall", FIXMATCH, "o-", "FixMatch"),
    ("fixmatch", "student_pixel_recall", FIXMATCH, ":", "FixMatch, the student itself"),
):
    axis.plot(*curve(branch, f"validation/{tag}"), style, color=colour, label=label, markersize=4)
alarm = results["collapse"]["first_step"]
if alarm is not None:
    axis.axvline(alarm, color=NEUTRAL, linestyle="--", linewidth=1)
    axis.text(alarm, 1.01, "the guard's alarm", ha="center", va="bottom", fontsize=9)
axis.set(xlabel="step after the fork", ylabel="pixel recall at 0.5, validation", ylim=(0, 1))
axis.grid(alpha=0.3)
axis.legend(loc="upper right")
plt.show()

# %% [markdown]
# The same in pictures: what the model at the fork, the control and FixMatch make of one test
# micrograph. White circles are the labels, which none of them has seen.

# %%
checkpoints = run / "checkpoints"
pickers = {
    "at the fork": load_picker(checkpoints / "burn_in" / "last.ckpt"),
    "supervised control": load_picker(checkpoints / "supervised" / "last.ckpt"),
    "FixMatch": load_picker(checkpoints / "fixmatch" / "last.ckpt"),
}
data = build(pickers["FixMatch"].metadata["config"]["data"])
micrograph = data.part("test")[0]
figure, axes = plt.subplots(1, 4, figsize=(12, 3.4))
axes[0].imshow(micrograph.read(), cmap="gray", vmin=-3, vmax=3)
axes[0].set_title("micrograph")
for axis, (name, picker) in zip(axes[1:], pickers.items(), strict=True):
    prediction = predict(picker.network, data, micrograph, torch.device("cpu"))
    shown = axis.imshow(prediction.probability, cmap="cividis", vmin=0, vmax=1)
    positive = (prediction.probability >= 0.5).mean()
    axis.set_title(f"p, {name}\n{positive:.1%} at 0.5 or more", fontsize=10)
for axis in axes:
    circle = {"s": 60, "facecolors": "none", "edgecolors": "white", "linewidths": 0.8}
    axis.scatter(micrograph.particles.x, micrograph.particles.y, **circle)
    axis.set(xticks=[], yticks=[])
figure.colorbar(shown, ax=axes[-1], shrink=0.8)
plt.show()

# %% [markdown]
# ## What the mask kept
# While FixMatch trains, each batch of pseudo-labels is audited: of the pixels that the teacher
# calls particle, how many does the mask keep, and of those it calls background? The *drift* is
# `log(particle keep / background keep)`. Below zero the student learns fewer particles than its
# teacher sees. A line ends where no pixel is called particle any more: nothing is left to keep.

# %%
figure, (rates, share) = plt.subplots(1, 2, figsize=(11, 3.4))
for tag, colour, label in (
    ("particle_keep", PARTICLES, "predicted particles"),
    ("background_keep", BACKGROUND, "predicted background"),
):
    steps, kept = curve("fixmatch", f"mask/{tag}")
    rates.plot(steps, [100 * value for value in kept], color=colour, label=label)
rates.set(xlabel="step after the fork", ylabel="kept, %", ylim=(0, 103), title="Keep rates")
for tag, colour, label in (
    ("predicted_positive", PARTICLES, "predicted to be particle"),
    ("prior", NEUTRAL, "prior, from the labels"),
):
    steps, values = curve("fixmatch", f"mask/{tag}")
    share.plot(steps, [100 * value for value in values], color=colour, label=label)
share.set(xlabel="step after the fork", ylabel="of all pixels, %", title="Share of particles")
for axis in (rates, share):
    axis.grid(alpha=0.3)
    axis.legend()
plt.show()

# %% [markdown]
# ## Diagnose it
# None of that has to be waited for. `cryofix.diagnose` takes a model, here the one at the fork,
# before FixMatch had done anything, and says what a mask would keep of its predictions and where
# that leads if the mask has the last word.

# %%
cryofix(
    "diagnose", "checkpoint=runs/collapse/checkpoints/burn_in/last.ckpt", "output=runs/diagnosis"
)

# %%
Image(cryofix.folder / "runs" / "diagnosis" / "figures" / "keep_rates.png", width=640)

# %% [markdown]
# The verdict is a first-order law: a student learns the class balance of what was kept. It knows
# the mask and this teacher, and nothing of the labels in each batch, of the weight of the
# pseudo-labels, or of a student that is its own teacher. The prediction beside what happened:

# %%
diagnosis = json.loads((cryofix.folder / "runs" / "diagnosis" / "diagnosis.json").read_text())
control, fixmatch = (results[name]["pixel"]["recall"] for name in ("supervised", "fixmatch"))
predicted = diagnosis["generations"][-1]["recall"]
when = "never" if alarm is None else f"at step {alarm} of {results['steps']['stage']}"
Markdown(
    f"""
|   |   |
|---|---|
| drift of the mask at the fork | {diagnosis["mask_keep_rates"]["drift"] or float("nan"):+.2f} |
| recall in the law's last generation | {predicted or 0:.3f} (it {diagnosis["outcome"]}) |
| test recall, supervised control | {control:.3f} |
| test recall, FixMatch | {fixmatch:.3f} |
| the guard's alarm | {when} |
"""
)

# %% [markdown]
# Where the law and the training disagree, the training is right. A small drift at the fork is no
# promise: in this preset the unlabelled loss comes to outweigh the labelled one, and the teacher is
# the student itself, which swings until it falls to one side. An all-background answer is a place
# that it cannot leave.
#
# Try `teacher=ema`, `mask=none` or `mask.threshold=0.95` in the settings, and then
# [02_cure.ipynb](02_cure.ipynb), in which the same training does not collapse.
