"""The page of a finished run: scores, figures, keep rates, the split, and what to type next."""

import base64
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from cryofix.files import atomic_write
from cryofix.reporting.console import BRANCHES, METHODS, score_rows, tested
from cryofix.reporting.pages import page
from cryofix.reporting.run_lines import keep_rate_line, pick_command

FIGURES = {
    "picks": "Picks on a micrograph: found, missed, and extra ones, which have no label",
    "precision_recall": "Precision over recall",
    "maps": "What the network sees and says",
    "keep_rates": "What a symmetric mask would keep",
}
WIDEST_PX, JPEG_QUALITY = 1600, 85
PARTS = ("labelled", "unlabelled", "validation", "test")


def write_run_page(
    folder: Path, results: Mapping[str, Any], overrides: Sequence[str], images: str | None
) -> None:
    """Write ``index.html`` beside ``results.json``, one file that needs no network.

    ``overrides`` are what was typed, and ``images`` is where the run's own micrographs are.
    """
    title, heads, rows = score_rows(results)
    split = json.loads((folder / "splits.json").read_text())
    at = shlex.quote(f"checkpoint={folder}")
    particle = results[results["selected"]].get("particle")  # None where masks were learnt
    pick = {"Pick micrographs with this model": pick_command(folder, images)}
    content: dict[str, Any] = {
        "name": folder.name,
        "folder": folder,
        "results": results,
        "method": METHODS.get(results["method"], results["method"]),
        "tested": tested(results),
        "selected": BRANCHES[results["selected"]],
        "threshold": None if particle is None else particle["threshold"],
        "title_of_scores": title,
        "heads": heads,
        "rows": rows,
        "keep_line": keep_rate_line(results),
        "overrides": list(overrides),
        "parts": {part: split[part] for part in PARTS if split[part]},
        "commands": {
            **({} if particle is None else pick),
            "See what the mask keeps of each class": f"python -m cryofix.diagnose {at}",
            "Watch how it was trained": f"tensorboard --logdir {shlex.quote(str(folder))}",
        },
        "figures": [
            (text, _jpeg(path))
            for name, text in FIGURES.items()
            if (path := folder / "figures" / f"{name}.png").is_file()
        ],
    }
    with atomic_write(folder / "index.html") as temporary:
        temporary.write_text("".join(page("run.html", "run.css", **content)), encoding="utf-8")


def _jpeg(path: Path) -> str:
    """Return a figure as JPEG in base64: a tenth of the size, so that a page can be sent."""
    with Image.open(path) as figure:
        small = figure.convert("RGB")
    small.thumbnail((WIDEST_PX, WIDEST_PX))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()
