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
# # The cure: the same training without the collapse
#
# In [01_collapse.ipynb](01_collapse.ipynb) FixMatch lost half of its control's pixel recall, and
# most of what it predicted was wrong. Here a burn-in is continued three times: with labels alone
# (the *control*), with the settings that collapse, and with those that are advised. Then every
# mask of `conf/mask` looks at one and the same teacher.
#
# The data are simulated, the training is short and it is one seed. This shows what happens, not
# how often: [docs/collapse.md](../docs/collapse.md) and [docs/study.md](../docs/study.md) have
# more seeds.

# %% tags=["parameters"]
# Given to `python -m cryofix.train`. The preset of the collapse has a weight of 200. In a training
# as short as this one a weight of 50 that comes sooner does the same.
COLLAPSE = ("experiment=collapse", "unlabelled.weight=50", "unlabelled.ramp_steps=50")
CURE = ("experiment=cure", "unlabelled.ramp_steps=150")
# The same for both, so that they share burn-in and control. All but the last make the training
# short: this notebook takes three minutes of one core.
SETTINGS = (
    "steps.burn_in=200",
    "steps.stage=150",
    "steps.validate_every=30",
    "teacher.decay=0.95",
    "trainer.precision=bf16-mixed",
    "seed=0",
)

# %%
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import yaml
from IPython.display import Markdown
from matplotlib.patches import Patch
from matplotlib_inline.backend_inline import set_matplotlib_formats
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from terminal import Terminal

from cryofix.config import build, config_folder
from cryofix.data.datamodule import no_progress
from cryofix.diagnosis.model_pixels import observe_network
from cryofix.diagnosis.overlay import grey, paint
from cryofix.diagnosis.policies import apply_policy, build_policy
from cryofix.diagnosis.verdict import percent, signed
from cryofix.learning.checkpoint import load_picker
from cryofix.learning.evaluation import predict
from cryofix.reporting.numbers import gain_with_interval
from cryofix.reporting.plots import (
    BACKGROUND,
    FIXMATCH,
    IGNORED,
    NEUTRAL,
    PARTICLES,
    SUPERVISED,
    WRONG,
)

plt.rcParams.update({"figure.dpi": 100, "figure.constrained_layout.use": True})
set_matplotlib_formats("jpeg")  # a tenth of a PNG where everything is noise
scratch = tempfile.TemporaryDirectory()  # it goes with the kernel; take a folder of yours to keep
cryofix = Terminal(Path(scratch.name))  # runs `python -m cryofix.COMMAND ...` there

# %% [markdown]
# ## Train
# | experiment | teacher | mask | weight of the pseudo-labels |
# |---|---|---|---|
# | `collapse` | the student itself | confidence of 0.70 or more | rises to 50 |
# | `cure` | a running average of the student | quota: by rank, in the ratio of the labels | 1 |
#
# With `-m` and one folder for both runs, the burn-in and the control are trained once.

# %%
for name, experiment in (("collapse", COLLAPSE), ("cure", CURE)):
    folder = ("hydra.sweep.dir=runs/both", f"hydra.sweep.subdir={name}")
    cryofix("train", "-m", *experiment, *SETTINGS, *folder)

# %% [markdown]
# ## Recall while they train
# On the validation micrographs, at p = 0.5, of the average that is scored and of the student
# itself.

# %%
folders = {name: cryofix.folder / "runs/both" / name for name in ("collapse", "cure")}
results = {name: json.loads((path / "results.json").read_text()) for name, path in folders.items()}
fork = results["cure"]["steps"]["burn_in"]
COLOURS = {"control": SUPERVISED, "collapse": NEUTRAL, "cure": FIXMATCH}


def curve(events: Path, tag: str) -> tuple[list[int], list[float]]:
    """Return steps after the fork and values of a scalar."""
    points = EventAccumulator(str(events)).Reload().Scalars(f"validation/{tag}")
    return [point.step - fork for point in points], [point.value for point in points]


figure, axis = plt.subplots(figsize=(7, 3.6))
control = folders["collapse"] / "tensorboard/supervised"  # the first run trained it
axis.plot(*curve(control, "pixel_recall"), "o-", color=COLOURS["control"], label="control")
for name, path in folders.items():
    for tag, style, label in (
        ("pixel", "o-", name),
        ("student_pixel", ":", f"{name}, the student"),
    ):
        points = curve(path / "tensorboard/fixmatch", f"{tag}_recall")
        axis.plot(*points, style, color=COLOURS[name], label=label, markersize=4)
axis.set(xlabel="step after the fork", ylabel="pixel recall at 0.5, validation", ylim=(-0.02, 1))
axis.grid(alpha=0.3)
axis.legend(loc="upper left", ncols=2, fontsize=9)
plt.show()

# %% [markdown]
# ## What came of them
# The models on one test micrograph: p of each pixel. White circles are the labels, which none of
# them has seen.

# %%
checkpoints = {
    "control": next((cryofix.folder / "runs/both/stages").glob("*/supervised/last.ckpt")),
    **{name: path / "checkpoints/fixmatch/last.ckpt" for name, path in folders.items()},
}
pickers = {name: load_picker(path) for name, path in checkpoints.items()}
data = build(pickers["cure"].metadata["config"]["data"])
micrograph = data.part("test")[0]
figure, axes = plt.subplots(1, 4, figsize=(12, 3.4))
axes[0].imshow(micrograph.read(), cmap="gray", vmin=-3, vmax=3)
axes[0].set_title("micrograph", fontsize=10)
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
# The scores on all test micrographs:

# %%
SCORES = {
    "pixel recall at 0.5": ("pixel", "recall"),
    "pixel F1 at 0.5": ("pixel", "f1"),
    "pixel average precision": ("pixel", "average_precision"),
    "particle F1": ("particle", "f1"),
    "particle average precision": ("particle", "average_precision"),
}
models = {"control": results["cure"]["supervised"]}
models |= {name: one["fixmatch"] for name, one in results.items()}
gains = results["cure"]["gain"]


def line(name: str, kind: str, score: str) -> str:
    """Return a line of the table, with the gain of the cure where it has an interval."""
    values = [f"{model[kind][score]:.3f}" for model in models.values()]
    key = score if (kind, score) == ("particle", "average_precision") else f"{kind}_{score}"
    gain = gains.get(key)
    said = gain_with_interval(gain["value"], gain["ci95"]) if gain and gain["ci95"] else ""
    return f"| {name} | {' | '.join(values)} | {said} |"


alarms = [one["collapse"]["first_step"] or "none" for one in results.values()]
Markdown(
    "| | control | collapse | cure | gain of the cure over the control [95 %] |\n"
    "|---|---|---|---|---|\n"
    + "\n".join(line(name, *score) for name, score in SCORES.items())
    + f"\n| the guard's alarm, step | | {alarms[0]} | {alarms[1]} | |"
)

# %% [markdown]
# Three things can be read off this table:
#
# - **The cure does not collapse.** At p = 0.5 the collapsed run finds nothing, and the cure finds
#   more of the particle pixels than labels alone.
# - **The collapse is in part one of calibration.** Its p has fallen below 0.5 everywhere, but still
#   ranks many particles first. A threshold that is chosen on validation finds them, so its particle
#   scores are better than its recall. The student itself predicts no particle any more.
# - **Compared with labels alone the cure gains little.** Each interval in the last column includes
#   zero, so this run does not tell the two apart. Over nine repetitions of 500 + 500 steps the cure
#   gains +.051 [+.013, +.089] of particle F1 on these data, and nothing on real micrographs
#   ([docs/study.md](../docs/study.md)).
#
# Validation selects the better of control and FixMatch in every run, so that nobody picks with a
# collapsed model.
#
# ## Every mask on one teacher
# The teacher is the model at the fork: it has seen the labelled micrographs, and nothing of what
# follows. Here is what it says of a tile of a micrograph that nobody labelled (the simulator knows
# the particles: white outlines).

# %%
checkpoint = next((cryofix.folder / "runs/both/stages").glob("*/burn_in/last.ckpt"))
teacher = load_picker(checkpoint)
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

figure, axes = plt.subplots(1, 2, figsize=(8, 3.8))
axes[0].imshow(image, cmap="gray", vmin=-3, vmax=3)
axes[0].set_title("micrograph")
shown = axes[1].imshow(prob, cmap="cividis", vmin=0, vmax=1)
axes[1].set_title("the teacher's p; dashed: p = 0.5")
axes[1].contour(prob, levels=[0.5], colors="white", linewidths=1, linestyles="--")
figure.colorbar(shown, ax=axes[1], shrink=0.85)
for axis in axes:
    axis.contour(truth, levels=[0.5], colors="white", linewidths=0.8)
    axis.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# Each mask is built from its file in `conf/mask` with its defaults, as `mask=NAME` would do.
# Those with a memory (histograms, moving averages) get theirs from all unlabelled micrographs, and
# stand where they would at the end of the stage. Under each picture stand the share of the pixels
# *predicted* as each class that it keeps over all unlabelled micrographs (for masks that weigh,
# the mean weight), and the drift, the logarithm of their ratio.
#
# Orange is kept as particle, blue as background, bare grey is ignored, and yellow is kept and
# wrong, so it is taught against the truth. The stronger the colour, the larger the weight. Dark
# discs, where there are any, count for neither side: particles touch there, or one is hidden.

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
# alike. A drift of zero is not all that matters: a mask may keep both classes equally and be wrong
# about many of them (yellow), or keep so few pixels that little is learnt.
#
# To compare masks, train each over several seeds, and let `cryofix report` write a page of them:
#
# ```
# python -m cryofix.train -m mask=symmetric,class_aware,quota ratio=0.05,0.1 seed=0,1,2
# ```
#
# To write a mask of your own, see [docs/add_a_policy.md](../docs/add_a_policy.md). It appears above
# as soon as its file is in `conf/mask`. Next: [03_your_data.ipynb](03_your_data.ipynb).
