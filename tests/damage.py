"""Random changes of a file's bytes, or of the plain values that it holds."""

import copy
import random
import re
import struct
from typing import Any

TOKENS = (
    b"nan", b"-nan", b"inf", b"-inf", b"1e400", b"-1", b"0", b"-0.0", b"1e308", b"1e-320",
    b"9" * 400, b"4294967296", b"", b" ", b"<NA>", b"null", b"true", b"\xe9", b"\xff\xfe", b"\0",
    b'"', b"'", b"#", b"[", b"(", b"{", b"}", b"\n", b"\t", b"loop_", b"data_", b"!!int x",
    b"&a *a", b"S9999999999", b"O", b"[" * 9000, b"{'':" * 9000, b'{"a":' * 9000,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, -0.0, -5.0, 1e300, 10**30, 2**31, float("nan"), float("inf"), "", "x", "\n",
    "!!python/none", [], {}, [[]], {"": None}, ["x"] * 50,
)  # fmt: skip
NUMBERS = (0, 1, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**24, 101)
FLOATS = (float("nan"), float("inf"), -1.0, 1e30, 1e-30)


def changed(rng: random.Random, content: bytes) -> bytes:
    """Return bytes with one to four random changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice((flip, cut, field, double, drop, token, token))(rng, content)
    return content


def place(rng: random.Random, size: int) -> int:
    """Return an offset, which is one in a header half of the time."""
    return rng.randrange(max(1, min(size, rng.choice((256, 1024, size, size)))))


def flip(rng: random.Random, content: bytes) -> bytes:
    found = bytearray(content)
    for _ in range(rng.choice((1, 2, 8))):
        if found:
            found[place(rng, len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def field(rng: random.Random, content: bytes) -> bytes:
    """Set four or eight bytes to an extreme."""
    order = rng.choice("<>")
    new = rng.choice(
        (
            struct.pack(f"{order}I", rng.choice(NUMBERS)),
            struct.pack(f"{order}Q", rng.choice(NUMBERS) << rng.choice((0, 31))),
            struct.pack(f"{order}f", rng.choice(FLOATS)),
        )
    )
    start = place(rng, len(content)) // 4 * 4
    return content[:start] + new + content[start + len(new) :]


def piece(rng: random.Random, content: bytes) -> tuple[int, int]:
    start = place(rng, len(content))
    return start, start + rng.choice((1, 4, 30, 500))


def double(rng: random.Random, content: bytes) -> bytes:
    start, stop = piece(rng, content)
    return content[:stop] + content[start:stop] * rng.choice((1, 1, 50)) + content[stop:]


def drop(rng: random.Random, content: bytes) -> bytes:
    start, stop = piece(rng, content)
    return content[:start] + content[stop:]


def token(rng: random.Random, content: bytes) -> bytes:
    """Exchange a word or number for another of the file, or for one that does not belong there."""
    found = list(re.finditer(rb"[\w.+-]+|[^\w\s]", content[:4000]))
    if not found:
        return content
    old, other = rng.choice(found), rng.choice(found)
    new = rng.choice((other.group(), rng.choice(TOKENS), rng.choice(TOKENS)))
    return content[: old.start()] + new + content[old.end() :]


def changed_values(rng: random.Random, content: Any) -> Any:
    """Return plain values with one or two exchanged, removed or put under another name."""
    found = copy.deepcopy(content)
    for _ in range(rng.choice((1, 1, 2))):
        node, steps = found, rng.randrange(1, 6)
        for _ in range(steps):
            inner = [key for key in keys_of(node) if keys_of(node[key])]
            if not inner or rng.random() < 0.2:
                break
            node = node[rng.choice(inner)]
        if not keys_of(node):
            continue
        key = rng.choice(keys_of(node))
        if rng.random() < 0.2:
            del node[key]
        elif rng.random() < 0.1 and isinstance(node, dict):
            node[rng.choice((1, "x", None, ""))] = node.pop(key)
        else:
            node[key] = copy.deepcopy(rng.choice(VALUES))
    return found


def keys_of(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node)
    return list(range(len(node))) if isinstance(node, list) else []
