"""Objects from plain values that somebody wrote down: which classes are called, and with what.

Values come from a configuration or from a file. A ``_target_`` among them names a class, and only
classes of cryofix are called, besides what the user has typed on the command line of this process.
Strings are taken as they are: nothing in them is resolved, evaluated or looked up.
"""

import importlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar, cast

from cryofix.checking import check_types, keywords_of, shown
from cryofix.errors import CryofixError

TARGET = "_target_"
PACKAGE = "cryofix"

T = TypeVar("T")


def construct(
    node: Any, key: str, *, kind: type = object, named: Collection[str] = (), **further: Any
) -> Any:
    """Make the object that a mapping with ``_target_`` describes, the parts of it first.

    Raises CryofixError if a ``_target_`` is anything else, or a keyword is unknown, missing or of
    another type.

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
    if node[TARGET] in named:
        return called(**keywords, **further)
    return call(called, keywords, key, **further)


def call(called: Callable[..., T], keywords: Mapping[str, Any], key: str, **further: Any) -> T:
    """Call a class or function of ours, if it takes such keywords, of such types.

    Raises CryofixError naming the first keyword that is unknown, missing, or of another type than
    annotated.
    """
    check_types(keywords, called, key=key)
    together = {**keywords, **further}
    for name, (_, needed) in keywords_of(called).items():
        if needed and name not in together:
            raise CryofixError(f"{key}.{name} has no value: give {key}.{name}=VALUE")
    return called(**together)


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
    if callable(found) and (typed or (ours and issubclass(cast("type", found), kind))):
        return cast("Callable[..., Any]", found)
    if typed:
        raise CryofixError(f"{key}.{TARGET}={shown(target)} cannot be imported: check its name")
    what = "class" if kind is object else kind.__name__
    raise CryofixError(
        f"{key}.{TARGET}={shown(target)} is no {what} of {PACKAGE}, and a file may name "
        f"nothing else: choose another {key.partition('.')[0]}"
    )
