"""What MkDocs calls: made pages join the site, and links between files of the repository fit it."""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parents[1]))
from docs.reference_pages import ROOT, pages

TAKEN = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""Pages of the repository that stand outside of docs/, and where the site has them."""


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the pages that are made of the code, and those that stand outside of docs/."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    for source, path in TAKEN.items():
        text = linked_in_site((ROOT / source).read_text(), source)
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let a page of docs/ link to where the site has what stands outside of docs/."""
    return (
        linked_in_site(markdown, f"docs/{page.file.src_uri}")
        if "/" not in page.file.src_uri
        else markdown
    )


def linked_in_site(text: str, source: str) -> str:
    """Return a page whose links between files of the repository are links of the site.

    ``source`` is the page's own path in the repository. What the site does not have, such as a
    notebook or a folder, keeps its name and loses its link.
    """

    def moved(match: re.Match[str]) -> str:
        image, words, target, anchor = match[1], match[2], match[3], match[4] or ""
        if ":" in target:
            return match[0]
        base = ROOT / Path(source).parent
        absolute = (base / target).resolve()
        if not absolute.is_relative_to(ROOT):
            return match[0]
        inside = str(absolute.relative_to(ROOT))
        if inside in TAKEN:
            return f"{image}[{words}]({TAKEN[inside]}{anchor})"
        if inside.startswith("docs/"):
            return f"{image}[{words}]({inside.removeprefix('docs/')}{anchor})"
        return f"{words} (`{inside}`)"

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)", moved, text)
