"""Paths, patterns and names on the command line: what is typed is what is used.

Hydra reads values in a language of its own, in which ``2024_11_05`` is a number, ``[0-3]`` a list
and ``a=b`` an error. The values of keys that hold text are quoted where that language would take
them for something else.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

TEXT = frozenset(
    {
        *("output", "cache", "checkpoint", "micrographs", "picks", "probabilities", "truth"),
        *("sweep", "in", "out", "read.suffix", "write.project", "stop_file"),
        *("model.encoder_weights", "model.initial", "data.read.suffix", "data.masks"),
        *("data.root", "data.images", "data.coordinates", "data.ignored", "data.never_scored"),
        *("mask.name", "names.data", "names.mask"),
        *("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"),
    }
)
"""Keys of all commands whose value is a path, a pattern or a name."""

NUMBERS = frozenset({("simulate", "micrographs")})
"""Commands in which a key of :data:`TEXT` is a number."""

LISTS = frozenset({"micrographs", "data.never_scored"})
"""Keys of :data:`TEXT` that also take ``[several,of,them]``."""

_SWEEP = re.compile(r"(choice|range|interval|glob|shuffle|sort|tag)\(.*\)")
_PARSER = OverridesParser.create()


def quote_text(words: Sequence[str], command: str) -> list[str]:
    """Return the words behind a ``command`` such as ``train``, for Hydra to read them as typed.

    What is quoted already stays, and so do ``null``, interpolations, ``[lists]`` and
    ``{name: value}`` where the key takes them, and in a sweep (``-m``) ``a,b`` and ``glob(*)``. A
    leading ``~`` becomes the home folder.
    """
    sweep = any(word in ("-m", "--multirun") or word.startswith("resume_sweep=") for word in words)
    return [_quote_word(word, command, sweep) for word in words]


def _quote_word(word: str, command: str, sweep: bool) -> str:
    typed, equals, value = word.partition("=")
    key = typed.lstrip("+")
    if not equals or key not in TEXT or (command, key) in NUMBERS or value in ("", "null"):
        return word
    if (key == "picks" and value.startswith("{")) or (sweep and _SWEEP.fullmatch(value)):
        return word
    if key in LISTS and value.startswith("[") and value.endswith("]"):
        items = ",".join(map(_quote, _split(value[1:-1])))
        return f"{typed}=[{items}]"
    values = _split(value) if sweep else [value]
    return f"{typed}={','.join(map(_quote, values))}"


def _split(value: str) -> list[str]:
    """Return what stands between the commas outside of quotes and brackets, without spaces."""
    pieces = re.findall(r"""(?:'[^']*'|"[^"]*"|\[[^\]]*\]|\([^)]*\)|\{[^}]*\}|[^,])+""", value)
    return [piece.strip() for piece in pieces]


def _quote(value: str) -> str:
    """Quote one value unless Hydra reads what was typed anyway, or it is quoted already."""
    try:
        parsed = _PARSER.parse_override(f"key={value}")._value
    except HydraException:
        parsed = None
    if isinstance(parsed, QuotedString):
        value, as_it_is = parsed.text, value
    else:  # a backslash is for who knows Hydra's language
        as_it_is = value if parsed == value or (isinstance(parsed, str) and "\\" in value) else ""
    if value.startswith("~"):
        value, as_it_is = str(Path(value).expanduser()), ""
    return as_it_is or QuotedString(value, Quote.single).with_quotes()
