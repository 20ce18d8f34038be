"""The list of named problems in the documentation, written from the registry when it is built."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, cast

from mdpkit import instances

ENTRIES = 8
"""Numbers of a known answer that are shown; ``mdpkit instances NAME`` has all."""


def instance_list() -> str:
    """Markdown: a section for each module of instances, in it one for each instance with what is known of it."""
    by_module: dict[str, list[instances.Instance]] = {}
    for name in instances.names():
        item = instances.info(name)
        by_module.setdefault(item.build.__module__, []).append(item)
    sections = sorted((_title(module), items) for module, items in by_module.items())
    return "\n\n".join(f"## {title}\n\n" + "\n\n".join(map(_entry, items)) for title, items in sections)


def _title(module: str) -> str:
    """What the first line of the module's docstring says before its details."""
    return re.split(r":|, with", (import_module(module).__doc__ or "").partition("\n")[0])[0].rstrip(".")


def _entry(item: instances.Instance) -> str:
    parameters = ", ".join(f"`{p.name}={'…' if p.required else _shown(p.default)}`" for p in item.parameters)
    facts = f"Parameters: {parameters or 'none'}. Source: {_plain(item.source)}."
    parts = [f"### `{item.name}`", f"```{{eval-rst}}\n{item.description}\n```", facts]
    if item.known:
        rows = ["| known | criterion | value | source |", "|---|---|---|---|", *map(_row, item.known)]
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def _row(known: instances.Known) -> str:
    where = ", ".join(f"{key}={_shown(value)}" for key, value in known.params.items())
    quantity = known.quantity + (f" ({where})" if where else "")
    value = known.as_dict()["value"]
    entries = cast("list[Any]", value) if isinstance(value, list) else [value]
    text = ", ".join(map(_shown, entries[:ENTRIES])) + (", …" if len(entries) > ENTRIES else "")
    if not known.exact:
        text += f" ± {known.tolerance}"
    return "| " + " | ".join(map(_plain, (quantity, known.criterion, text, known.source))) + " |"


def _shown(value: Any) -> str:
    return str(value).replace("'", "")


def _plain(text: str) -> str:
    """Text in which no character is markup."""
    return re.sub(r"([\\`*_{}\[\]<>$|#~])", r"\\\1", text.replace("``", ""))
