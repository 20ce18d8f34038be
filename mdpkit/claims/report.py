"""The report of a run: one page that needs no network, with the statement, the picture and the command of each claim."""

from __future__ import annotations

import html
import io
import re
import shlex
from collections.abc import Sequence
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from mdpkit.claims.evidence import Evidence, Verdict
from mdpkit.claims.verify import Run

__all__ = ["command", "mathml", "page", "write"]


def mathml(latex: str) -> str:
    """A statement in LaTeX as MathML, which browsers show without a script; the LaTeX itself where it cannot be converted.

    Its parts between wide spaces are elements of their own, so that the page can break lines between them.
    """
    from latex2mathml.converter import convert

    text = re.sub(r"\s+", " ", latex.strip()).replace("\\tfrac", "\\frac").replace("\\Bigl", "\\left")
    text = re.sub(r"\|([A-Za-z])\|", r"\\left| \1 \\right|", text)
    text = text.replace("\\Bigr", "\\right").replace("\\bigl", "\\left").replace("\\bigr", "\\right")
    text = re.sub(r"\\arg\b", r"\\operatorname{arg}", text)
    try:
        parts = [convert(part, display="block").replace("\\%", "%") for part in _parts(text)]
        return "".join(f"<span>{part}</span>" for part in parts)
    except Exception:  # whatever its parser raises on LaTeX that it does not know
        return f"<code>{html.escape(latex.strip())}</code>"


def _parts(latex: str) -> list[str]:
    r"""The pieces between ``\quad`` and ``\qquad`` outside of all braces, brackets and environments."""
    pieces, depth = [""], 0
    for token in re.findall(r"\\[A-Za-z]+ ?|\\.|.", latex):
        word = token.strip()
        if word in ("{", "(", "[", r"\{", r"\left", r"\begin"):
            depth += 1
        elif word in ("}", ")", "]", r"\}", r"\right", r"\end"):
            depth -= 1
        if word in (r"\quad", r"\qquad") and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += token
    return [piece for piece in pieces if piece.strip()]


def command(evidence: Evidence) -> str:
    """The command that runs this claim again, in the same way."""
    return f"mdpkit verify {shlex.quote(evidence.id)} --level {evidence.level} --seed {evidence.seed}"


def picture(evidence: Evidence) -> str:
    """The curves as an SVG element; empty where there are none."""
    if not evidence.curves:
        return ""
    matplotlib: Any = import_module("matplotlib")
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "mdpkit", "text.usetex": False}):
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        figure: Any = Figure(figsize=(6.2, 4.0), layout="constrained")
        FigureCanvasSVG(figure)
        ax = figure.subplots()
        evidence.plot(ax=ax)
        ax.set_title("")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :].replace("<svg", '<svg role="img" aria-label="measured curve against its bound"', 1)


def _bibtex(key: str) -> str:
    from mdpkit.cite import bibliography

    return bibliography().get(key, "")


def page(run: Run, *, date: str, version: str, commit: str | None = None) -> str:
    """The page as text."""
    from jinja2 import Environment

    source = files("mdpkit.claims").joinpath("report.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    killed, applicable = run.killed
    families: dict[str, list[dict[str, Any]]] = {}
    for evidence in sorted(run.results, key=lambda e: (e.family, e.id)):
        families.setdefault(evidence.family, []).append(_entry(evidence))
    return template.render(
        families=families,
        run=run,
        counts=_counts(run.results),
        total=len(run.results),
        killed=killed,
        applicable=applicable,
        date=date,
        version=version,
        commit=commit,
        bad=[e for e in run.results if not e.verdict.ok],
        meanings={str(v): v.value.partition(": ")[2] for v in Verdict},
    )


def _counts(results: Sequence[Evidence]) -> list[tuple[str, int]]:
    return [(str(v), n) for v in Verdict if (n := sum(e.verdict is v for e in results))]


def _entry(evidence: Evidence) -> dict[str, Any]:
    return {
        "e": evidence,
        "anchor": re.sub(r"[^a-z0-9]+", "-", evidence.id.lower()),
        "statement": mathml(evidence.says),
        "picture": picture(evidence),
        "bibtex": _bibtex(evidence.paper),
        "command": command(evidence),
        "good": evidence.verdict.ok,
        "slack": _slack(evidence),
    }


def _slack(e: Evidence) -> str:
    if e.slack is None:
        return ""
    if e.slack >= 0:
        return f"least slack {abs(e.slack):.3g}"
    return f"equal within {-e.slack:.2g}" if e.verdict.ok or e.kind == "identity" else f"violated by {-e.slack:.3g}"


def write(run: Run, folder: Path, *, date: str, version: str, commit: str | None = None) -> Path:
    """Write ``index.html`` and ``results.json`` into the folder, in place of older ones; the page's path."""
    import json

    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "index.html"
    for path, text in (
        (target, page(run, date=date, version=version, commit=commit)),
        (
            folder / "results.json",
            json.dumps([e.as_dict() for e in run.results], ensure_ascii=False, indent=1) + "\n",
        ),
    ):
        part = path.with_suffix(path.suffix + ".part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    return target
