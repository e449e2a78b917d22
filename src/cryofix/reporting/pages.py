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
    made.filters |= {
        "plain": numbers.plain,
        "signed": numbers.signed,
        "percent": numbers.percent,
        "count": numbers.count,
    }
    return made


def fragment(template: str, **content: object) -> Markup:
    """Return a part of a page, ready to stand in another template."""
    return Markup(template_environment().get_template(template).render(content))


def page(template: str | Template, *assets: str, **content: object) -> Iterator[str]:
    """Yield a page in pieces, so that one with many pictures need not fit into memory.

    Parameters
    ----------
    template
        A template that extends ``page.html`` and fills its blocks ``title`` and ``main``.
    assets
        Further files of the templates' folder, such as ``picks.css`` and ``picks.js``; those of the
        base page, ``page.css`` and ``page.js``, are always there.
    content
        What the template shows; it also has ``made``, the present time.
    """
    named = ("page.css", "page.js", *assets)
    style, script = (
        "".join(_asset(name) for name in named if name.endswith(end)) for end in (".css", ".js")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    yield from (
        template_environment()
        .get_template(template)
        .generate(
            style=Markup(style),
            script=Markup(script),
            digest=digest,
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            **content,
        )
    )


def _asset(name: str) -> str:
    return (files("cryofix.reporting") / "templates" / name).read_text(encoding="utf-8")
