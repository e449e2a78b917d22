"""The keys of each command and their types; the groups of the configuration type themselves.

Defaults and what a key means stand in the command's file in ``conf/``.
"""

from typing import Annotated, Any, Literal, TypedDict

from cryofix.checking import KeywordsOf

Where = str | list[str]
Keywords = dict[str, Any]
Part = Keywords | None
"""A part of the configuration with a ``_target_``, which says what the part takes."""

Augment = Annotated[
    Keywords,
    KeywordsOf("cryofix.learning.settings.Views", "cryofix.data.datamodule.CryoDataModule"),
]


class Loss(TypedDict):
    """Of the supervised loss."""

    terms: dict[str, float]


class PriorKeys(TypedDict):
    """Of the share of particle pixels."""

    value: float | None
    estimate: Literal["labels", "em"]


class Compute(TypedDict):
    """How the network is computed."""

    channels_last: bool
    compile: bool


class Train(TypedDict):
    """Keys of ``train.yaml``."""

    ratio: float
    seed: int
    split_seed: int
    label_draw: int
    method: str
    output: str
    cache: str
    share_stages: bool
    average_views: bool
    names: dict[str, str]
    augment: Augment
    data: Keywords
    mask: Keywords
    guard: Keywords
    callbacks: dict[str, Keywords]  # made for each stage: a _target_ with its keywords by name
    logger: dict[str, Keywords]
    regulariser: Part
    auxiliary: Part
    model: Annotated[Keywords, KeywordsOf("cryofix.learning.network.build_network")]
    teacher: Annotated[Keywords, KeywordsOf("cryofix.learning.settings.TeacherSettings")]
    loss: Annotated[Keywords, KeywordsOf("cryofix.keys.Loss")]
    prior: Annotated[Keywords, KeywordsOf("cryofix.keys.PriorKeys")]
    unlabelled: Annotated[Keywords, KeywordsOf("cryofix.learning.settings.Unlabelled")]
    optimiser: Annotated[Keywords, KeywordsOf("cryofix.learning.settings.Optimiser")]
    steps: Annotated[Keywords, KeywordsOf("cryofix.learning.settings.Steps")]
    trainer: Annotated[Keywords, KeywordsOf("lightning.Trainer")]
    compute: Annotated[Keywords, KeywordsOf("cryofix.keys.Compute")]


class _OfAModel(TypedDict):
    """Keys of the commands that look at a trained model."""

    checkpoint: str | None
    part: str
    ratio: float | None
    seed: int | None
    split_seed: int | None
    label_draw: int | None
    output: str
    cache: str
    data: Any  # checked when it is built: what is null here, the checkpoint says


class Evaluate(_OfAModel):
    """Keys of ``evaluate.yaml``."""

    picks: Where | Keywords | None
    threshold: float | None
    average_views: bool | None
    augment: Augment


class Forecast(TypedDict):
    """What of the unlabelled loss a forecast knows."""

    weight: float | None


class Diagnose(_OfAModel):
    """Keys of ``diagnose.yaml``."""

    probabilities: str | None
    truth: str | None
    prior: float | None
    progress: float
    augment: Keywords  # of the data group, which checks it; probabilities need no data module
    mask: Part
    teacher: Annotated[Keywords | None, KeywordsOf("cryofix.learning.settings.TeacherSettings")]
    unlabelled: Annotated[Keywords, KeywordsOf("cryofix.keys.Forecast")]


class Write(TypedDict):
    """Options of the formats that picks and coordinates are written in."""

    diameter_px: float | None
    box_size_px: float | None
    with_scores: bool | None
    downsample: float | None
    project: str | None
    kind: str | None
    pixel_size_angstrom: float | None
    voltage_kv: float | None
    spherical_aberration_mm: float | None
    amplitude_contrast: float | None
    exposure_group: int | None


class Read(TypedDict):
    """Options of the formats that coordinates are read in."""

    downsample: float | None
    suffix: str | None
    threshold: float | None


class Pick(TypedDict):
    """Keys of ``pick.yaml``."""

    checkpoint: str
    micrographs: Where
    output: str
    format: Where
    threshold: float | None
    keep_above: float
    low_scores: bool
    min_distance: float
    border_px: float
    min_size: float | None
    max_size: float | None
    average_views: bool | None
    diameter_angstrom: float | None
    diameter_px: float | None
    pixel_size_angstrom: float | None
    y_origin: str | None
    write: Annotated[Keywords, KeywordsOf("cryofix.keys.Write")]
    watch: bool
    every_seconds: float
    steady_seconds: float
    idle_minutes: float | None
    stop_file: str | None
    workers: int | None
    device: str | None
    shown: int


class Label(TypedDict):
    """Keys of ``label.yaml``."""

    micrographs: Where
    output: str
    checkpoint: str | None
    diameter_angstrom: float | None
    diameter_px: float | None
    pixel_size_angstrom: float | None
    threshold: float | None
    device: str | None
    port: int | None


Convert = TypedDict(
    "Convert",
    {
        "in": str,
        "out": str,
        "format": str,
        "micrographs": str,
        "in_format": str | None,
        "y_origin": str | None,
        "out_y_origin": str | None,
        "allow_empty": bool,
        "check_y": bool,
        "outside": str,
        "read": Annotated[Keywords, KeywordsOf("cryofix.keys.Read")],
        "write": Annotated[Keywords, KeywordsOf("cryofix.keys.Write")],
    },
)
"""Keys of ``convert.yaml``, one of which is a word of Python."""


class Report(TypedDict):
    """Keys of ``report.yaml``."""

    sweep: str
    output: str
    metric: str | None
    watch: bool
    every_seconds: float
    stalled_after_minutes: float


class Simulate(TypedDict):
    """Keys of ``simulate.yaml`` beside those of the simulator."""

    output: str
    workers: int | None


COMMANDS: dict[str, tuple[str, ...]] = {
    "label": ("cryofix.keys.Label",),
    "train": ("cryofix.keys.Train",),
    "evaluate": ("cryofix.keys.Evaluate",),
    "diagnose": ("cryofix.keys.Diagnose",),
    "pick": ("cryofix.keys.Pick",),
    "convert": ("cryofix.keys.Convert",),
    "report": ("cryofix.keys.Report",),
    "simulate": ("cryofix.keys.Simulate", "cryofix.data.simulation.parameters.SimulatorConfig"),
}
"""What takes the keys of each command."""
