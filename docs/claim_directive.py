"""The directives ``claim`` and ``claims``: statements with the verdicts of the last recorded full run; nothing is run here."""

from __future__ import annotations

from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from docutils.statemachine import StringList

from mdpkit.claims.evidence import Verdict
from mdpkit.claims.registry import all_claims, stated
from mdpkit.claims.verify import recorded

WORDS = {str(v): v.value.partition(": ")[2] for v in Verdict}


def _verdict(id_: str) -> str:
    row = recorded()["rows"].get(id_)
    if row is None:
        return "not yet in a recorded full run"
    text = f"**{row['verdict']}** on {row['instances']} instances"
    if row["slope"]:
        value, low, high = row["slope"]
        text += f", slope {value:.4g} in [{low:.4g}, {high:.4g}]"
    elif row["slack"] is not None and row["slack"] >= 0:
        text += f", least slack {row['slack']:.2g}"
    if row["ratio"]:
        text += f", bound/measured {row['ratio']:.3g}"
    text += f"; controls refuted {row['controls']}"
    if row["applicable"]:
        text += f", faults noticed {row['killed']}/{row['applicable']}"
    return text


class ClaimDirective(Directive):
    """One claim: its statement, its verdict, and how to run it."""

    required_arguments = 1
    final_argument_whitespace = False

    def run(self) -> list[nodes.Node]:
        id_ = self.arguments[0]
        claims = all_claims()
        if id_ not in claims:
            raise self.error(f"there is no claim {id_!r}")
        c = claims[id_]
        box = nodes.admonition(classes=["claim"])
        box += nodes.title(text=c.title)
        lines = [
            "",
            "```{math}",
            *c.says.splitlines(),
            "```",
            "",
            f"`{c.id}` ({c.kind}, {c.mode}; {c.where}): {_verdict(id_)}.",
        ]
        if c.domain:
            lines += ["", f"Domain: {c.domain}."]
        if c.caveat:
            lines += ["", c.caveat]
        self.state.nested_parse(StringList(lines, source=f"claim {id_}"), self.content_offset, box)
        return [box]


class ClaimsDirective(Directive):
    """All claims, a table for each family."""

    option_spec: ClassVar = {"family": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        families: dict[str, list[Any]] = {}
        for c in all_claims().values():
            families.setdefault(c.family, []).append(c)
        wanted = self.options.get("family")
        out = nodes.container()
        lines: list[str] = []
        for family, claims in sorted(families.items()):
            if wanted and family != wanted:
                continue
            lines += ["", f"**{family.replace('_', ' ').capitalize()}** ({len(claims)})", ""]
            lines += ["| claim | statement | kind, mode | last full run |", "| --- | --- | --- | --- |"]
            for c in claims:
                row = recorded()["rows"].get(c.id)
                verdict = row["verdict"] if row else "not recorded"
                lines.append(f"| `{c.id}` | {c.title.replace('|', chr(92) + '|')} | {c.kind}, {c.mode} | {verdict} |")
        if stated() and not wanted:
            lines += ["", "**Stated, not checked yet**", "", "| claim | about |", "| --- | --- |"]
            lines += [f"| `{e['id']}` | {e['about'].replace('|', chr(92) + '|')} |" for e in stated()]
        self.state.nested_parse(StringList(lines, source="claims"), self.content_offset, out)
        return [out]


class RecordDirective(Directive):
    """A sentence on the last recorded run."""

    def run(self) -> list[nodes.Node]:
        last = recorded()
        rows = last["rows"].values()
        if not last["date"]:
            return [nodes.paragraph(text="No full run is recorded yet.")]
        killed, applicable = sum(r["killed"] for r in rows), sum(r["applicable"] for r in rows)
        counts: dict[str, int] = {}
        for r in rows:
            counts[r["verdict"]] = counts.get(r["verdict"], 0) + 1
        words = ", ".join(f"{n} {word}" for word, n in sorted(counts.items(), key=lambda item: -item[1]))
        text = (
            f"The verdicts are those of the full run of {last['date']}, commit {last['commit']}, seed {last['seed']}, "
            f"{last['cores']} cores: {words}; {killed} of {applicable} generic faults noticed."
        )
        return [nodes.paragraph(text=text)]


def setup(app: Any) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("claim", ClaimDirective)
    app.add_directive("claims", ClaimsDirective)
    app.add_directive("claims-record", RecordDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
