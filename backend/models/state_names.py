"""Names of published state dicts onto ours, by one table per network.

A table is a tuple of rows (published, ours). A row renames every key that starts with its published part; '*' stands
for one dotted part and is carried over, so ("down_blocks.*.conv", "down.*.conv") renames all down blocks. The first row
that fits decides. A row whose second part is UNUSED names parameters that a checkpoint carries and inference never
reads: they are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

UNUSED = None
NameTable = tuple[tuple[str, str | None], ...]
Value = TypeVar("Value")


class StateNameError(ValueError):
    """A published key that no row of the table names."""


def our_name(published: str, table: NameTable) -> str | None:
    """Our name of a published key, or UNUSED. Raises StateNameError for a key that no row names."""
    for theirs, ours in table:
        pattern = "([^.]+)".join(re.escape(part) for part in theirs.split("*"))
        found = re.match(pattern + r"(?=\.|$)", published)
        if found is None:
            continue
        if ours is UNUSED:
            return UNUSED
        for part in found.groups():
            ours = ours.replace("*", part, 1)
        return ours + published[found.end() :]
    raise StateNameError(published)


def renamed(state: Mapping[str, Value], table: NameTable) -> dict[str, Value]:
    """A published state dict under our names, unused entries left out. Raises StateNameError."""
    named = {our_name(key, table): value for key, value in state.items()}
    named.pop(UNUSED, None)
    return named
