"""Forgetting is red: rooms, citations, claims, docstrings, imports and spelling, found by walking the repository."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import mdpkit
from mdpkit.learner import Learner
from mdpkit.solver import Estimator, Solver

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "numba",
    "scipy.sparse",
    "pandas",
    "networkx",
    "umbi",
    "matplotlib",
    "cvxpy",
    "sympy",
    "lark",
    "typer",
    "rich",
    "gymnasium",
    "flint",
    "joblib",
)
SECTIONS = (".. math::", "**Guarantee.**", "*Departures.*", "Parameters\n", "References\n", "Examples\n")
NEEDED = (".. math::", "**Guarantee.**", "References\n", "Examples\n")
BASES = (Solver, Estimator, Learner)
"""What files of rooms export: final classes below one of these."""
KINDS = {"upper", "lower", "tight", "identity", "rate", "monotone", "separation", "counterexample"}

SOLVER_FILES = sorted(p for p in (ROOT / "solvers").glob("*/*.py") if not p.name.startswith("_"))
PACKAGE_FILES = sorted(p for folder in ("mdpkit", "solvers", "proofs") for p in (ROOT / folder).rglob("*.py"))
ALL_FILES = sorted({p.resolve() for p in PACKAGE_FILES})
TEXTS = sorted(
    p
    for pattern in ("*.md", "docs/**/*.md", "mdpkit/**/*.py", "solvers/**/*.py", "proofs/**/*", "tests/**/*.py")
    for p in ROOT.glob(pattern)
    if p.is_file() and "_build" not in p.parts and "generated" not in p.parts and p.suffix in (".md", ".py", ".toml")
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_of(path: Path):
    return importlib.import_module("mdpkit." + ".".join(path.relative_to(ROOT).with_suffix("").parts))


def classes_of(path: Path) -> list[type]:
    module = module_of(path)
    exported = [getattr(module, item) for item in getattr(module, "__all__", ())]
    return [c for c in exported if inspect.isclass(c) and issubclass(c, BASES) and not inspect.isabstract(c)]


def bib_keys() -> list[str]:
    return re.findall(r"^@\w+\{([^,\s]+),", (ROOT / "docs/references.bib").read_text(encoding="utf-8"), re.M)


def stated() -> list[dict]:
    return tomllib.loads((ROOT / "proofs/stated.toml").read_text(encoding="utf-8")).get("claim", [])


solvers = pytest.mark.parametrize("path", SOLVER_FILES, ids=name)


def test_there_are_solvers():
    assert len(SOLVER_FILES) >= 6


@solvers
def test_solver_file_exports_a_solver(path):
    assert classes_of(path), f"{name(path)} lists no solver in __all__"


@solvers
def test_room_exports_the_solver(path):
    room = importlib.import_module(f"mdpkit.solvers.{path.parent.name}")
    for kind in classes_of(path):
        assert getattr(room, kind.__name__) is kind
        assert kind.__name__ in room.__all__


@solvers
def test_cites_are_in_the_bibliography(path):
    known = set(bib_keys())
    for kind in classes_of(path):
        assert kind.cites, f"{kind.__name__} cites nothing"
        assert set(kind.cites) <= known


@solvers
def test_claims_are_stated_and_promised(path):
    known = {claim["id"] for claim in stated()} | set(mdpkit.claims)
    for kind in classes_of(path):
        assert kind.claims, f"{kind.__name__} claims nothing"
        assert set(kind.claims) <= known
        for claim in kind.claims:
            assert f"``{claim}``" in inspect.getdoc(kind), f"the docstring of {kind.__name__} does not name {claim}"
            assert claim.split(":")[0] in bib_keys()


@solvers
def test_docstring_names_no_other_claim(path):
    for kind in classes_of(path):
        promised = set(re.findall(r"``([a-z0-9-]+:[a-z0-9-]+)``", inspect.getdoc(kind)))
        assert promised == set(kind.claims)


@solvers
def test_docstring_sections_in_order(path):
    for kind in classes_of(path):
        text = inspect.getdoc(kind)
        first = text.split("\n\n")[0]
        assert re.fullmatch(r".*\.", first), f"{kind.__name__} does not begin with one line"
        places = {section: text.find(section) for section in SECTIONS}
        for section in NEEDED:
            assert places[section] > 0, f"{kind.__name__} has no {section.strip()}"
        if dataclasses.fields(kind):
            assert places["Parameters\n"] > 0, f"{kind.__name__} does not describe its parameters"
        found = [place for place in places.values() if place >= 0]
        assert found == sorted(found), f"{kind.__name__} has its sections in another order than {SECTIONS}"


@solvers
def test_solver_file_has_a_test_file(path):
    family, mechanism = path.parent.name, path.stem
    assert (ROOT / "tests" / family / f"test_{mechanism}.py").is_file(), (
        f"tests/{family}/test_{mechanism}.py is missing"
    )


PROVEN_ROOMS = ("average_reward", "dynamic_programming", "evaluation", "exploration", "linear")


@pytest.mark.parametrize("path", [p for p in SOLVER_FILES if p.parent.name in PROVEN_ROOMS], ids=name)
def test_solver_file_has_a_proof_file(path):
    """Whose claims are about its solvers, each of which has one of those it promises there."""
    family, mechanism = path.parent.name, path.stem
    assert (ROOT / "proofs" / family / f"{mechanism}.py").is_file(), f"proofs/{family}/{mechanism}.py is missing"
    here = {
        id_: claim
        for id_, claim in mdpkit.claims.all_claims().items()
        if claim.module == f"mdpkit.proofs.{family}.{mechanism}"
    }
    for kind in classes_of(path):
        assert set(kind.claims) & set(here), f"no claim of {kind.__name__} is in proofs/{family}/{mechanism}.py"
        for id_ in kind.claims:
            assert id_ not in here or kind in here[id_].about, f"{id_} is not about {kind.__name__}"


@solvers
def test_docstring_says_checked_of_claims_that_run(path):
    waiting = {claim["id"] for claim in stated()}
    for kind in classes_of(path):
        text = " ".join(inspect.getdoc(kind).split())
        if not waiting & set(kind.claims):
            assert "Stated as" not in text, f"{kind.__name__} calls a claim stated that runs"


@solvers
def test_rooms_do_not_import_each_other(path):
    family = path.parent.name
    for target, _ in imports(path):
        assert not target.startswith("mdpkit.solvers.") or target.split(".")[2] == family


def test_stated_claims_are_whole_and_used():
    entries = stated()
    ids = [entry["id"] for entry in entries]
    assert len(ids) == len(set(ids))
    used = {claim for path in SOLVER_FILES for kind in classes_of(path) for claim in kind.claims}
    for entry in entries:
        assert set(entry) == {"id", "says", "where", "kind", "about"}
        assert all(isinstance(value, str) and value.strip() for value in entry.values())
        assert entry["kind"] in KINDS
        assert "recalled" in entry["where"] or "seen" in entry["where"]
        assert entry["id"] in used, f"{entry['id']} is stated but no solver promises it"


def test_stated_claims_are_not_checked_yet():
    assert not {entry["id"] for entry in stated()} & set(mdpkit.claims), "what runs is no longer only stated"


def test_bibliography_has_no_duplicates():
    keys = bib_keys()
    assert len(keys) == len(set(keys)) > 10


def test_entries_of_the_bibliography_are_closed():
    text = (ROOT / "docs/references.bib").read_text(encoding="utf-8")
    for entry in re.split(r"^(?=@)", text, flags=re.M)[1:]:
        key = entry.split(",")[0]
        assert entry.count("{") == entry.count("}"), f"{key} has unbalanced braces"
        assert entry.rstrip().endswith("}"), f"{key} does not end"
        for field in ("author", "title", "year"):
            assert re.search(rf"^\s*{field}\s*=\s*\{{", entry, re.M), f"{key} has no {field}"


# -- imports ---------------------------------------------------------------------------------------------------------


def imports(path: Path) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, 0) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "", node.level))
    return found


@pytest.mark.parametrize("path", ALL_FILES, ids=name)
def test_imports_are_absolute(path):
    for target, level in imports(path):
        assert level == 0, f"a relative import of {target!r}"
        assert target.split(".")[0] not in ("solvers", "proofs"), f"import mdpkit.{target}, not {target}"


def test_import_is_light():
    # Seconds are measured in benchmarks/imports.py: this machine may be busy.
    code = f"import sys, mdpkit; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not run.stdout.split(), f"import mdpkit imports {run.stdout}"


@pytest.mark.parametrize("room", ["solvers", "proofs"])
def test_rooms_refuse_other_names(room):
    run = subprocess.run([sys.executable, "-c", f"import {room}"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode != 0
    assert f"import this package as mdpkit.{room}" in run.stderr


@pytest.mark.parametrize("room", ["solvers", "proofs"])
def test_rooms_are_relative_links(room):
    link = ROOT / "mdpkit" / room
    assert link.is_symlink(), "not a link; repair with: git config core.symlinks true && git checkout -- " + name(link)
    assert str(link.readlink()) == f"../{room}"


def test_all_names_exist():
    for item in mdpkit.__all__:
        if item == "plots" and importlib.util.find_spec("matplotlib") is None:
            continue
        assert getattr(mdpkit, item) is not None


# -- docstrings and spelling -----------------------------------------------------------------------------------------


def undocumented(path: Path) -> list[str]:
    """Public modules, classes, functions and methods without docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    missing = [] if ast.get_docstring(tree) else ["the module"]

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.If, ast.Try)):
                visit(child, prefix)
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)) and not child.name.startswith("_"):
                overload = any("overload" in ast.dump(d) for d in child.decorator_list)
                if not ast.get_docstring(child) and not overload:
                    missing.append(prefix + child.name)
                if isinstance(child, ast.ClassDef):
                    visit(child, f"{prefix}{child.name}.")

    visit(tree, "")
    return missing


@pytest.mark.parametrize("path", [p for p in ALL_FILES if p.name != "__main__.py"], ids=name)
def test_public_things_have_docstrings(path):
    assert undocumented(path) == []


# Assembled, so that this file does not find itself.
BRITISH = [
    head + tail
    for head, tail in [
        ("behavi", "our"), ("neighb", "our"), ("col", "our"), ("fav", "our"), ("hon", "our"), ("lab", "elled"),
        ("normali", "se"), ("optimi", "se"), ("minimi", "se"), ("maximi", "se"), ("regulari", "se"), ("randomi", "se"),
        ("generali", "se"), ("initiali", "se"), ("analy", "se"), ("cent", "re"), ("discret", "ise"), ("model", "ling"),
        ("cata", "logue"), ("trave", "lled"), ("factori", "se"), ("vectori", "se"), ("summari", "se"),
        ("recogni", "se"),
    ]
]  # fmt: skip
SPELLING = re.compile(r"\b(" + "|".join(BRITISH) + r")(s|d|r|rs|ed|ing|ation|hood|al)?\b", re.IGNORECASE)


@pytest.mark.parametrize("path", sorted({p.resolve() for p in TEXTS}), ids=name)
def test_spelling_is_american(path):
    text = path.read_text(encoding="utf-8")
    found = [f"line {text.count(chr(10), 0, m.start()) + 1}: {m[0]}" for m in SPELLING.finditer(text)]
    assert not found


# -- the built package -----------------------------------------------------------------------------------------------


def test_wheel_contains_the_rooms(tmp_path):
    if importlib.util.find_spec("build") is None or importlib.util.find_spec("hatchling") is None:
        pytest.skip("build and hatchling are not installed")
    run = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    for path in SOLVER_FILES:
        assert f"mdpkit/{name(path)}" in inside
    assert {"mdpkit/py.typed", "mdpkit/solvers/__init__.py", "mdpkit/proofs/stated.toml"} <= inside
    assert not [item for item in inside if item.startswith(("solvers/", "proofs/", "tests/", "docs/"))]
