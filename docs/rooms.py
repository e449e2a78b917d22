"""Draw the rooms of `src/cryofix` and who imports whom: `python docs/rooms.py` writes rooms.svg."""

import ast
from collections import Counter
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch

HERE = Path(__file__).parent
SOURCE = HERE.parent / "src" / "cryofix"
COMMANDS = "commands"  # the files beside the rooms: commands, and what reads their configuration
SHARED = "shared"  # these of them, which every room may import
FOR_ALL = {
    "errors",
    "files",
    "construct",
    "checking",
    "keys",
    "stopping",
    "distributed",
    "processes",
}
LEVELS = [
    [COMMANDS],
    ["sweeps"],
    ["experiment", "labels"],
    ["diagnosis", "picking"],
    ["learning"],
    ["masking", "data"],
    ["metrics", "reporting"],
    ["formats"],
    [SHARED],
]
"""The rooms from top to bottom: a room imports from those below it."""
ABOUT = {
    COMMANDS: "label, train, pick, evaluate, diagnose, report, convert, simulate",
    "sweeps": "collects runs, statistics over seeds",
    "experiment": "stages, results, run folder, callbacks",
    "labels": "the page on which particles are labelled",
    "diagnosis": "verdict, teacher generations, remedy",
    "picking": "picks of one micrograph, jobs over many",
    "learning": "network, losses, teachers, the step",
    "masking": "pseudo-label policies",
    "data": "files to tiles, simulator",
    "metrics": "everything that counts",
    "reporting": "tables, figures, pages",
    "formats": "other programs' files",
    SHARED: "errors, files, checks, processes",
}


def room_of(module: str) -> str:
    """Return the room of a dotted name below `cryofix`."""
    first = module.split(".")[0]
    if (SOURCE / first).is_dir():
        return first
    return SHARED if first in FOR_ALL else COMMANDS


def survey() -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """Return the lines of each room, and how many files of one room import from another."""
    lines: Counter[str] = Counter()
    imports: Counter[tuple[str, str]] = Counter()
    for file in sorted(SOURCE.rglob("*.py")):
        text = file.read_text()
        room = room_of(".".join(file.relative_to(SOURCE).with_suffix("").parts))
        lines[room] += text.count("\n")
        nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
        modules = [node.module or "" for node in nodes]
        names = [each.removeprefix("cryofix.") for each in modules if each.startswith("cryofix.")]
        imports.update({(room, room_of(name)) for name in names} - {(room, room)})
    return lines, imports


def draw(target: Path) -> None:
    """Write the picture as SVG, the same bytes for the same code."""
    lines, imports = survey()
    plt.rcParams["svg.hashsalt"] = "rooms"
    figure, axes = plt.subplots(figsize=(8, 8.5))
    place = {}
    for depth, level in enumerate(LEVELS):
        for column, room in enumerate(level):
            x = 0.5 if len(level) == 1 else 0.25 + 0.5 * column
            place[room] = (x, -depth)
            text = f"$\\bf{{{room}}}$  {lines[room] / 1000:.1f} thousand lines\n{ABOUT[room]}"
            box = {"boxstyle": "round,pad=0.45", "facecolor": "#eef3f8", "edgecolor": "#3b5b7a"}
            axes.text(x, -depth, text, ha="center", va="center", fontsize=9, bbox=box, zorder=3)
    for (above, below), files in imports.items():
        if below == SHARED:
            continue  # every room imports errors and files
        (x0, y0), (x1, y1) = place[above], place[below]
        colour = "#7a8a99" if y1 < y0 else "#d55e00"
        bend = 0.0 if y0 - y1 <= 1 else 0.25 * (1 if x1 >= x0 else -1)
        axes.add_patch(
            FancyArrowPatch(
                (x0, y0 - 0.3),
                (x1, y1 + 0.3),
                connectionstyle=f"arc3,rad={bend}",
                arrowstyle="-|>",
                mutation_scale=9,
                linewidth=0.5 + 0.15 * files,
                color=colour,
                alpha=0.7,
                zorder=1,
            )
        )
    legend = "arrow: imports from; the thicker, the more files do"
    axes.text(0.5, 0.42, legend, ha="center", va="bottom", fontsize=8, color="#445566")
    axes.set(xlim=(-0.05, 1.05), ylim=(-len(LEVELS) + 0.4, 0.5))
    axes.set_axis_off()
    figure.savefig(target, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    draw(HERE / "rooms.svg")
