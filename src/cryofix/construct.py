"""Objects from plain values that somebody wrote down: which classes are called, and with what.

Values come from a configuration or from a file. A ``_target_`` among them names a class, and only
classes of cryofix are called, besides what the user has typed on the command line of this process.
Strings are taken as they are: nothing in them is resolved, evaluated or looked up.
"""

import importlib
import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from cryofix.errors import CryofixError

TARGET = "_target_"
PACKAGE = "cryofix"
_SAID = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    type(None): "null",
}

T = TypeVar("T")


def construct(
    node: Any,
    key: str,
    *,
    kind: type = object,
    named: Collection[str] = (),
    **further: Any,
) -> Any:
    """Make the object that a mapping with ``_target_`` describes, the parts of it first.

    Parameters
    ----------
    node
        Plain containers and values; without ``_target_`` they are returned as they are.
    key
        What the configuration calls it, for messages.
    kind
        Only subclasses of this are called, at any depth.
    named
        Full names of what else may be called, because the user typed them.
    further
        Keywords that no configuration holds, for the outermost object.

    Raises
    ------
    CryofixError
        If a ``_target_`` is anything else, or a keyword is unknown, missing or of another type.
    """
    if isinstance(node, list | tuple):
        parts = enumerate(node)
        return [construct(part, f"{key}.{i}", kind=kind, named=named) for i, part in parts]
    if not isinstance(node, Mapping):
        return node
    keywords = {
        str(name): construct(part, f"{key}.{name}", kind=kind, named=named)
        for name, part in node.items()
        if name != TARGET
    }
    if TARGET not in node:
        return keywords
    called = _callable(node[TARGET], key, kind, named)
    return call(called, {**keywords, **further}, key)


def call(called: Callable[..., T], keywords: Mapping[str, Any], key: str) -> T:
    """Call a function or class, if its signature has such keywords, of such types.

    Raises
    ------
    CryofixError
        Naming the first keyword that is unknown, missing, or of another type than annotated.
    """
    hints, required = _signature(called)
    for name, value in keywords.items():
        hint = hints.get(name, hints.get("**"))
        if hint is None:
            raise CryofixError(f"{key}.{name} is not a key here; {key} has {', '.join(hints)}")
        if not fits(value, hint):
            raise CryofixError(f"{key}.{name}={shown(value)} is not {described(hint)}")
    for name in required - keywords.keys():
        raise CryofixError(f"{key}.{name} is missing: it has to be {described(hints[name])}")
    return called(**keywords)


def fits(value: Any, hint: Any) -> bool:
    """Say whether a value is of an annotated type; one that is not plain fits everything.

    A whole number is a number too, NaN is none, and a list stands for every kind of sequence.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in arguments)
    if origin is typing.Literal:
        return value in arguments
    if hint in (int, float):
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
        return whole or (hint is float and isinstance(value, float) and value == value)
    kind = origin or hint
    if kind in (Any, inspect.Parameter.empty) or not isinstance(kind, type):
        return True
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping)
    if kind in (tuple, list, Sequence):
        if not isinstance(value, list | tuple):
            return False
        several = len(arguments) != 2 or arguments[1] is ...
        each = arguments[:1] * len(value) if several else arguments
        return len(each) in (0, len(value)) and all(map(fits, value, each))
    return isinstance(value, kind)


def described(hint: Any) -> str:
    """Return what an annotated type is called in a sentence."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(described, arguments))
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if hint in _SAID:
        return _SAID[hint]
    kind = origin or hint
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return "a mapping of keys to values"
    if arguments:
        return f"a list, each of which is {described(arguments[0])}"
    return f"a {getattr(kind, '__name__', kind)}"


def shown(value: Any, limit: int = 80) -> str:
    """Return a value for a message: short, and without characters that a terminal obeys."""
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _callable(target: Any, key: str, kind: type, named: Collection[str]) -> Callable[..., Any]:
    """Return what a ``_target_`` names, if it may be called."""
    module, _, name = str(target).rpartition(".")
    typed = target in named
    found = None
    if typed or module.partition(".")[0] == PACKAGE:
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError:
            found = None
    ours = isinstance(found, type) and found.__module__.partition(".")[0] == PACKAGE
    if found is not None and callable(found) and (typed or (ours and issubclass(found, kind))):
        return typing.cast("Callable[..., Any]", found)
    if typed:
        raise CryofixError(f"{key}.{TARGET}={shown(target)} cannot be imported: check its name")
    what = "class" if kind is object else kind.__name__
    raise CryofixError(
        f"{key}.{TARGET}={shown(target)} is no {what} of {PACKAGE}, and nothing else is run on"
        f" behalf of a file: choose another {key.partition('.')[0]}"
    )


def _signature(called: Callable[..., Any]) -> tuple[dict[str, Any], set[str]]:
    """Return the type of each keyword, with ``**`` for all others, and which have no default."""
    # An instance's __init__ is not looked at: whatever is called here is a class or a function.
    function: Any = called.__init__ if isinstance(called, type) else called  # type: ignore[misc]
    try:
        parameters = inspect.signature(called).parameters.values()
        hints = typing.get_type_hints(function)
    except (NameError, TypeError, ValueError):  # names for type checkers alone, or written in C
        return {"**": Any}, set()
    found: dict[str, Any] = {}
    for parameter in parameters:
        hint = hints.get(parameter.name, Any)
        if parameter.kind is not parameter.VAR_KEYWORD:
            found[parameter.name] = hint
        elif typing.get_origin(hint) is typing.Unpack:
            found |= typing.get_type_hints(typing.get_args(hint)[0])
        else:
            found["**"] = Any
    return found, {one.name for one in parameters if one.default is one.empty} & found.keys()
