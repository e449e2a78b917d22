"""Pages that are made of the code: keys from the comments in conf/, masks from their classes."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
SOURCE = ROOT / "src" / "cryofix"
COMMANDS = tuple(sorted(path.stem for path in CONF.glob("*.yaml")))
WHOLE = ("method", "experiment", "trainer", "callbacks", "logger")  # shown as files, not as keys
SHARED = ("base", "files", "particles")  # parts of other choices, which nobody chooses
SECTIONS = {"Parameters", "Notes", "Attributes", "Raises", "Returns"}


@dataclass(frozen=True)
class Key:
    """One key of a file of the configuration."""

    name: str
    """With the keys that it stands in, joined by dots."""
    default: str
    """As the file writes it; empty for a key that only holds others."""
    meaning: str
    """The comment behind it."""


def header_of(text: str) -> str:
    """Return the comment that a file begins with, without the line for Hydra."""
    lines = re.match(r"(?:#.*\n)*", text)
    found = [line[1:].strip() for line in (lines[0] if lines else "").splitlines()]
    return "\n".join(line for line in found if not line.startswith("@package"))


def keys_of(text: str) -> list[Key]:
    """Return the keys of a file in its order, without those that are Hydra's own."""
    found: list[Key] = []
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = re.match(r"( *)([\w.]+):(?: +(.*))?$", line)
        if match is None:
            continue
        while above and above[-1][0] >= len(match[1]):
            above.pop()
        above.append((len(match[1]), match[2]))
        if above[0][1] in ("defaults", "hydra"):
            continue
        default, _, meaning = f" {match[3] or ''}".partition(" # ")
        name = ".".join(key for _, key in above)
        found.append(Key(name, default.strip(), meaning.strip()))
    return found


def pages() -> dict[str, str]:
    """Return the text of each made page by its path in the site."""
    return {
        "reference/commands.md": commands_page(),
        "reference/groups.md": groups_page(),
        "reference/masks.md": masks_page(),
        **{f"reference/api/{room}.md": _api_page(room) for room in rooms()},
    }


def commands_page() -> str:
    """Return the page with every key of every command."""
    parts = [
        "# Keys of the commands",
        "This page lists every key of every command with its default and its meaning."
        " A key is given as `key=value`, and `???` marks one that has no default and must be given."
        " [Groups](groups.md) has the keys that belong to a choice such as `data=micrographs`.",
    ]
    for name in COMMANDS:
        text = (CONF / f"{name}.yaml").read_text()
        about = header_of(text).partition(": ")[2]
        parts += [f"## cryofix {name}", _sentence(about), *_table(keys_of(text))]
    return "\n\n".join(parts) + "\n"


def groups_page() -> str:
    """Return the page with every choice of every group, and its keys."""
    parts = [
        "# Groups and their choices",
        "This page lists the parts of `cryofix train` that are swapped with one word,"
        " `group=choice`, and the keys that each choice brings along."
        " A key is given with its group: `data.tile_px=128`."
        " A choice that builds on another one has the keys of that one too.",
    ]
    for group, about in _groups():
        parts += [f"## {group}", about]
        for path in sorted((CONF / group).glob("*.yaml")):
            parts += _choice(group, path)
    return "\n\n".join(parts) + "\n"


def masks_page() -> str:
    """Return the table of masks, and what each class says of itself."""
    notes = _notation()
    head = [
        "---\nhide: [toc]\n---\n\n# Masks",
        "A mask, or masking policy, decides which pixels of a pseudo-label the student learns from."
        " This page lists all of them with their rule, when each is of use and what it does to a"
        " rare class. Choose one with `mask=NAME`; [the study](../study.md) has the measurements,"
        " and [add a policy](../add_a_policy.md) shows how to write one.",
        notes,
        "| mask | rule and source | target and weight | when to use it, and a rare class |"
        "\n|---|---|---|---|\n" + "\n".join(_mask_row(path) for path in _masks()),
    ]
    return "\n\n".join([*head, *(_mask_section(path) for path in _masks())]) + "\n"


def rooms() -> list[str]:
    """Return the packages of the code, which have a page of the API each."""
    return sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))


def docstring_sections(name: str) -> dict[str, str]:
    """Return the parts of a policy's docstring: its summary and body, and its titled sections."""
    for path in sorted((SOURCE / "masking").glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return dict(_sections(ast.get_docstring(node) or ""))
    raise LookupError(f"no class {name} in {SOURCE / 'masking'}")


def _sections(text: str) -> Iterator[tuple[str, str]]:
    summary, _, rest = text.partition("\n\n")
    yield "summary", " ".join(summary.split())
    title, lines = "body", list[str]()
    for line in rest.splitlines():
        if line.strip() in SECTIONS:
            yield title, "\n".join(lines).strip()
            title, lines = line.strip(), []
        elif not re.fullmatch(r"\s*-{3,}", line):
            lines.append(line)
    yield title, "\n".join(lines).strip()


def _masks() -> list[Path]:
    return sorted((CONF / "mask").glob("*.yaml"))


def _class_of(path: Path) -> str:
    target = next(key for key in keys_of(path.read_text()) if key.name == "_target_")
    return target.default.rpartition(".")[2]


def _mask_row(path: Path) -> str:
    said = docstring_sections(_class_of(path))
    codes = re.findall(r"``(.+?)``", f"{said['summary']} {said['body']}", re.DOTALL)
    formulas = [code for code in codes if " = " in code]
    rule = header_of(path.read_text())
    cells = (
        f"[`{path.stem}`](#{path.stem})",
        rule,
        "<br>".join(f"`{' '.join(formula.split())}`" for formula in formulas),
        " ".join(said["Notes"].split()),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _mask_section(path: Path) -> str:
    said = docstring_sections(_class_of(path))
    parts = [f"## {path.stem}", said["summary"], said["body"], *_table(keys_of(path.read_text()))]
    return "\n\n".join(part for part in parts if part)


def _notation() -> str:
    text = ast.get_docstring(ast.parse((SOURCE / "masking" / "policy.py").read_text())) or ""
    return "Notation: " + " ".join(text.partition("in this package: ")[2].split())


def _groups() -> Iterator[tuple[str, str]]:
    """Yield the groups of a training with what its help says about each."""
    text = (CONF / "hydra" / "help" / "train.yaml").read_text()
    listed = text.partition("Groups (")[2].partition("$APP_CONFIG_GROUPS")[0]
    for name, about in re.findall(r"^ {4}(\w+) +(.*(?:\n {12,}.*)*)", listed, re.MULTILINE):
        yield name, _sentence(" ".join(about.split()))
    yield "hydra/launcher", "Who runs the jobs of a sweep."


def _choice(group: str, path: Path) -> list[str]:
    text = path.read_text()
    shared = path.stem in SHARED
    title = f"### {path.stem}, keys that others share" if shared else f"### {group}={path.stem}"
    if group in WHOLE:
        content = re.sub(r"\A(?:#.*\n)*", "", text).strip()
        return [title, header_of(text).replace("\n", "  \n"), f"```yaml\n{content}\n```"]
    parents = re.findall(r"^defaults: \[(.*)\]", text, re.MULTILINE)
    others = [name for name in ", ".join(parents).split(", ") if name not in ("", "_self_")]
    builds = [f"It has the keys of `{', '.join(others)}` too."] if others else []
    return [title, header_of(text).replace("\n", "  \n"), *builds, *_table(keys_of(text))]


def _table(keys: list[Key]) -> list[str]:
    rows = [
        f"| `{key.name}` | {f'`{key.default}`' if key.default else ''} | {key.meaning} |".replace(
            "||", "| |"
        )
        for key in keys
        if not key.name.endswith("_target_")
    ]
    return ["| key | default | meaning |\n|---|---|---|\n" + "\n".join(rows)] if rows else []


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _api_page(room: str) -> str:
    modules = sorted((SOURCE / room).rglob("[a-z]*.py"))
    names = [".".join(path.relative_to(SOURCE.parent).with_suffix("").parts) for path in modules]
    about = ast.get_docstring(ast.parse((SOURCE / room / "__init__.py").read_text())) or ""
    parts = [f"# cryofix.{room}", about, *(f"::: {name}" for name in names)]
    return "\n\n".join(part for part in parts if part) + "\n"
