"""The types of a configuration: each value must fit the annotation of what takes it.

Whoever takes the keys of a part of the configuration as keywords says their types already: a
dataclass, a class with a constructor, a function or a ``TypedDict``. There is no other schema.
"""

import difflib
import inspect
import json
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import (
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from cryofix.errors import CryofixError, UnknownKeyError

TYPED = ("cryofix.", "lightning.pytorch.callbacks.", "lightning.pytorch.loggers.")
"""Packages whose annotations can be relied on."""
OPEN = "**"
WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


class KeywordsOf:
    """Annotation of a mapping that becomes the keywords of classes or functions.

    Their dotted names are given, so that naming them imports nothing; each key belongs to one.
    """

    def __init__(self, *takers: str) -> None:
        self.takers = takers


def check_types(
    values: Mapping[str, Any], *takers: str | Callable[..., Any], key: str = ""
) -> None:
    """Compare values with the annotations of what takes them as keywords.

    Raises CryofixError for the first value of another type and the first key that nobody takes,
    naming it.

    Parameters
    ----------
    values
        Plain values; one with a ``_target_`` of cryofix or Lightning is compared with that one's.
    takers
        Classes or functions, or their dotted names.
    key
        Of ``values`` in the configuration; empty for the top level.
    """
    hints = {name: hint for taker in takers for name, (hint, _) in keywords_of(taker).items()}
    prefix = f"{key}." if key else ""
    for name in values:
        if name not in hints and name != "_target_" and OPEN not in hints:
            known = difflib.get_close_matches(str(name), hints, n=1) or sorted(hints)
            error = UnknownKeyError(
                f"{prefix}{name} is not a key: leave it out, or give {', '.join(known)}"
            )
            error.key = f"{prefix}{name}"
            raise error
    for name, hint in hints.items():  # in this order, since some values are made of others
        if name in values:
            check_value(values[name], hint, f"{prefix}{name}")


def keywords_of(taker: str | Callable[..., Any]) -> dict[str, tuple[Any, bool]]:
    """Return what a class or function takes by keyword: annotations, and whether each is needed.

    What it hands on is among it: ``**name: Unpack[a TypedDict]``, or ``**name`` annotated with
    :class:`KeywordsOf`. A TypedDict is taken for keywords that are not needed. Under ``**`` stands
    an entry where any other keyword is taken too.
    """
    taker = resolve_name(taker) if isinstance(taker, str) else taker
    if is_typeddict(taker):
        hints = get_type_hints(taker, include_extras=True)
        return {name: (hint, False) for name, hint in hints.items()}
    call = taker.__init__ if isinstance(taker, type) else taker  # type: ignore[misc] # this one
    parameters = inspect.signature(call).parameters
    try:
        hints = get_type_hints(call, include_extras=True)
    except NameError:  # a type that only a type checker imports, as WandbLogger has
        hints = inspect.get_annotations(call)
    found: dict[str, tuple[Any, bool]] = {}
    for name, parameter in parameters.items():
        if name not in hints:
            continue
        if parameter.kind is inspect.Parameter.VAR_KEYWORD and hints[name] is Any:
            found[OPEN] = Any, False
        elif parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            found[name] = hints[name], parameter.default is parameter.empty
        elif get_origin(hints[name]) is Annotated:
            for each in get_args(hints[name])[1].takers:
                found |= keywords_of(each)
        else:
            found |= keywords_of(get_args(hints[name])[0])
    return found


def check_value(value: Any, hint: Any, key: str) -> None:
    """Compare a value with an annotation.

    Raises CryofixError if it is of another type, naming its key.
    """
    allowed = _alternatives(hint)
    if isinstance(value, Mapping) and hint is not Any:
        target = str(value.get("_target_"))
        if target.startswith(TYPED):
            try:
                taker = resolve_name(target)
            except (ImportError, AttributeError):
                return None  # said by whoever makes it
            return check_types(value, taker, key=key)
        for each in allowed:
            if isinstance(each, KeywordsOf):
                return check_types(value, *each.takers, key=key)
            if is_dataclass(each) and isinstance(each, type):
                return check_types(value, each, key=key)
            if _is_mapping(each):
                for name, inner in value.items():
                    check_value(inner, (get_args(each) or (str, Any))[1], f"{key}.{name}")
                return None
        if "_target_" in value and any(map(_is_class_to_make, allowed)):
            return None  # of a library that says no types
    if not any(_fits(value, each) for each in allowed):
        as_yaml = value is None or isinstance(value, bool | list | tuple | dict)
        text = json.dumps(value, default=str) if as_yaml else value
        raise CryofixError(f"{key}={shown(text)} does not fit: give {_say(allowed)}")
    return None


def shown(value: Any, limit: int = 80) -> str:
    """Return a value for a message: short, and without characters that a terminal obeys."""
    clean = isinstance(value, str) and value.isprintable()
    text = value if clean else " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _alternatives(hint: Any) -> list[Any]:
    """Return what a value may be, unions taken apart; a mapping of keywords by its takers."""
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        takers = [note for note in notes if isinstance(note, KeywordsOf)]
        others = _alternatives(inner)
        return takers + [each for each in others if not takers or not _is_mapping(each)]
    if get_origin(hint) in (Union, types.UnionType):
        return [each for part in get_args(hint) for each in _alternatives(part)]
    return [hint]


def _is_mapping(hint: Any) -> bool:
    return (get_origin(hint) or hint) in (dict, Mapping)


def _is_class_to_make(hint: Any) -> bool:
    return isinstance(hint, type) and hint.__module__ != "builtins"


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and value == value  # NaN is none
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if get_origin(hint) in (list, tuple, Sequence):
        inner = [each for each in get_args(hint) if each is not Ellipsis]
        if not isinstance(value, list | tuple):
            return False
        if get_origin(hint) is tuple and len(inner) == len(get_args(hint)):  # of fixed length
            return len(value) == len(inner) and all(map(_fits, value, inner))
        return all(any(_fits(item, each) for each in _alternatives(inner[0])) for item in value)
    return isinstance(hint, type) and isinstance(value, hint)


def _say(allowed: Sequence[Any]) -> str:
    words = [_word(each) for each in allowed if each not in (type(None), Path)]
    words += ["null" for each in allowed if each is type(None)]
    return " or ".join(dict.fromkeys(words))


def _word(hint: Any) -> str:
    if hint in WORDS:
        return WORDS[hint]
    if get_origin(hint) is Literal:
        return ", ".join(map(str, get_args(hint)))
    if get_origin(hint) in (list, tuple, Sequence):
        inner = [each for each in get_args(hint) if each is not Ellipsis]
        many = f"{len(inner)} items" if len(inner) > 1 else "items"
        return f"a list of {many}, each {_say(_alternatives(inner[0]))}"
    if isinstance(hint, KeywordsOf) or is_dataclass(hint) or _is_mapping(hint):
        return "{key: value}"
    return f"a {{_target_: ...}} that makes a {getattr(hint, '__name__', hint)}"
