"""What README.md and the pages of docs/ tell people to type must work."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    "README.md",
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts),
]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [body for kind, body in FENCE.findall(text) if kind == language]


def shell_lines(page: str) -> list[list[str]]:
    lines = [line for body in blocks(page, "shell") for line in body.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def printed(line: str) -> str | None:
    """What a line says that it prints: its comment, if it begins with print and the comment is an output."""
    code, _, comment = line.partition("  #")
    if not comment:
        code, _, comment = line.partition(") # ")
    return comment.strip() if code.lstrip().startswith("print(") and comment else None


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")])
def test_python_runs_and_prints_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")  # those of other tests
    names: dict[str, object] = {}
    out = io.StringIO()
    said = []
    with contextlib.redirect_stdout(out):
        for body in blocks(page, "python"):
            exec(compile(body, page, "exec"), names)
            said += [text for line in body.splitlines() if (text := printed(line))]
    outputs = [text for text in said if re.match(r"[\[\d-]|valid", text)]
    for text in outputs:
        assert text in out.getvalue().splitlines(), f"{page} promises the output {text!r}"


def test_readme_has_the_blocks():
    assert len(blocks("README.md", "python")) == 3
    assert len(blocks("README.md", "shell")) == 4
    assert 8 <= sum(bool(line.strip()) for line in blocks("README.md", "python")[0].splitlines()) <= 12


@pytest.mark.parametrize("page", [p for p in PAGES if shell_lines(p)] + ["CONTRIBUTING.md"])
def test_make_targets_exist(page):
    makefile = ROOT / "Makefile"
    if not makefile.is_file():
        pytest.skip("no Makefile")
    targets = set(re.findall(r"^([a-z]+):", makefile.read_text(encoding="utf-8"), re.MULTILINE))
    for words in shell_lines(page):
        if words[0] == "make":
            assert words[1] in targets


@pytest.mark.skipif(importlib.util.find_spec("mdpkit.cli") is None, reason="no command line in this tree")
@pytest.mark.parametrize("page", [p for p in PAGES if any(w[0] == "mdpkit" for w in shell_lines(p))])
def test_commands_run(page, tmp_path, monkeypatch, capsys):
    from mdpkit.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MDPKIT_CACHE", str(tmp_path / "cache"))
    for words in shell_lines(page):
        if words[0] != "mdpkit":
            continue
        if any(word.startswith("gym:") for word in words) and importlib.util.find_spec("gymnasium") is None:
            continue
        if words[1] == "verify" and not any(":" in word for word in words):
            words = [*words, "agarwal2021:npg-rate"]  # tests/conformance/test_claims.py runs all of them
        try:
            code = main(words[1:])
        except SystemExit as end:
            code = end.code
        assert code in (0, None), f"{shlex.join(words)} exits with {code}: {capsys.readouterr().err}"


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md"])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(r"\$\$?.*?\$\$?|`[^`\n]*`", "", FENCE.sub("", text), flags=re.DOTALL)
    for target in LINK.findall(text):
        assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


def test_citation_has_the_version():
    import mdpkit

    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {mdpkit.__version__}" in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"license: {project['license']}" in text
