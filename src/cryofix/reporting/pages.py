"""Pages of one file that need no network: styles, one script and all figures are inside.

Jinja2 escapes whatever comes from data. Besides, a page's content security policy allows its one
script by its hash and no network, so that even a flaw in the escaping leaves a hostile name in a
file without power.
"""

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape
from markupsafe import Markup

from cryofix.reporting import numbers


@cache
def template_environment() -> Environment:
    """Return the one Jinja2 environment; its filters are the functions of :mod:`numbers`."""
    made = Environment(
        loader=PackageLoader("cryofix.reporting"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = (numbers.plain, numbers.signed, numbers.percent, numbers.count)
    made.filters |= {each.__name__: each for each in filters}
    return made


def fragment(template: str, **content: object) -> Markup:
    """Return a part of a page, ready to stand in another template."""
    return Markup(template_environment().get_template(template).render(content))


def page(template: str | Template, *assets: str, **content: object) -> Iterator[str]:
    """Yield a page in pieces, so that one with many pictures need not fit into memory.

    The template extends ``page.html``, fills its blocks ``title`` and ``main`` with ``content``,
    and has ``made``, the present time. ``assets`` are further files of the templates' folder, such
    as ``picks.css``; ``page.css`` and ``page.js`` are always there.
    """
    folder, text = files("cryofix.reporting") / "templates", {".css": "", ".js": ""}
    for name in ("page.css", "page.js", *assets):
        text[name[name.index(".") :]] += (folder / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text[".js"].encode()).digest()).decode()
    content |= {"style": Markup(text[".css"]), "script": Markup(text[".js"]), "digest": digest}
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    yield from template_environment().get_template(template).generate(content, made=made)
