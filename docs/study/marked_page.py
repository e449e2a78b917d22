"""Numbers of a page that a script writes between markers, so that nobody types them.

A part stands between ``<!-- NAME: by the script -->`` and ``<!-- end of NAME -->``.
"""

from collections.abc import Mapping
from pathlib import Path

from cryofix.errors import CryofixError
from cryofix.files import atomic_write


def fill(page: Path, parts: Mapping[str, str]) -> None:
    """Replace each named part of a page; a page without its markers is a CryofixError."""
    text = page.read_text()
    for name, content in parts.items():
        first, last = f"<!-- {name}: by the script -->\n", f"<!-- end of {name} -->"
        before, found, rest = text.partition(first)
        _, ended, after = rest.partition(last)
        if not found or not ended:
            raise CryofixError(f"{page} has no place for '{name}': put {first.strip()} and {last}")
        text = f"{before}{first}{content.strip()}\n{last}{after}"
    with atomic_write(page) as temporary:
        temporary.write_text(text)
