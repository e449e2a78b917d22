"""The Custom Scalars page of TensorBoard: which scalars share a chart, and what it is called.

The first page answers "is it collapsing?"; in the ranges its titles call healthy, nothing is.
"""

from cryofix.diagnosis.verdict import HEALTHY_SHARE

KEEP = "mask/keep"
"""The keep rates of both classes, each in a run of its own."""
Charts = dict[str, tuple[str, ...]]

PAGES: dict[str, Charts] = {
    "Is it collapsing?": {
        "Keep rates of both classes (healthy: equal)": (KEEP,),
        "Drift, log of their ratio (healthy: near 0)": ("mask/drift",),
        "Kept particle share / prior (healthy: {} to {:g})".format(*HEALTHY_SHARE): (
            "mask/share_over_prior",
        ),
        "Student against teacher: pixel F1 on validation": (
            "validation/student_pixel_f1",
            "validation/teacher_pixel_f1",
            "validation/student_pixel_estimated_f1",
            "validation/teacher_pixel_estimated_f1",
        ),
        "Mean p and predicted share against the prior": (
            "mask/mean_p",
            "mask/predicted_positive",
            "mask/prior",
        ),
        "Gradient share of each class": (
            "mask/gradient_particle_share",
            "mask/gradient_background_share",
        ),
    },
    "Are the pseudo-labels right?": {
        "Keep rates by true class (of hidden labels)": (
            "mask/true_particle_keep",
            "mask/true_background_keep",
        ),
        "Precision and recall of the pseudo-labels (hidden labels)": (
            "mask/pseudo_precision",
            "mask/pseudo_recall",
        ),
        "Student and teacher disagree": ("mask/disagreement",),
    },
    "What the mask and the guard do": {
        "Thresholds on p": ("policy/particle_threshold", "policy/background_threshold"),
        "Weight of the unlabelled loss": ("unlabelled/lambda",),
        "The guard: smoothed logarithms (healthy: near 0), alarm (1: raised)": (
            "guard/drift",
            "guard/kept_share",
            "guard/predicted_share",
            "guard/alarm",
        ),
    },
    "Does it learn? (validation)": {
        "F1 of pixels and particles (particles of partial labels: positive-unlabelled)": (
            "validation/pixel_f1",
            "validation/particle_f1",
            "validation/particle_positive_unlabelled_f1",
        ),
        "Recall of pixels, and of as many particles as are expected (partial labels)": (
            "validation/pixel_recall",
            "validation/particle_recall_at_expected",
        ),
        "Average precision of pixels and particles": (
            "validation/pixel_average_precision",
            "validation/particle_average_precision",
        ),
        "Precision and recall of pixels": ("validation/pixel_precision", "validation/pixel_recall"),
        "Losses": ("loss/supervised", "loss/unlabelled", "loss/total"),
    },
}


def layout() -> dict[str, dict[str, list[str | list[str]]]]:
    """Return the pages as ``SummaryWriter.add_custom_scalars`` wants them."""
    return {
        page: {
            # Tags are patterns that match from the start on: end them.
            title: ["Multiline", [f"{tag}$" for tag in tags]]
            for title, tags in charts.items()
        }
        for page, charts in PAGES.items()
    }
