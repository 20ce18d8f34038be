"""Every claim stands at level fast, is whole, and is about something in the bibliography."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import mdpkit as mk
from mdpkit.cite import bibliography
from mdpkit.claims.claim import KINDS, MODES
from mdpkit.claims.mutations import GENERIC
from mdpkit.claims.registry import all_claims, stated
from mdpkit.claims.report import mathml

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = all_claims()
PROOFS = sorted(p for p in (ROOT / "proofs").rglob("*.py") if p.name != "__init__.py")
FAULTS = {kind.name for kind in GENERIC}

each = pytest.mark.parametrize("id_", CLAIMS)


@each
def test_claim_stands(id_):
    evidence = CLAIMS[id_].run("fast")
    assert evidence.verdict.ok, str(evidence)


@each
def test_claim_is_whole(id_):
    c = CLAIMS[id_]
    assert c.paper in bibliography(), f"{c.paper} is not in the bibliography"
    assert re.fullmatch(r"[a-z0-9-]+:[a-z0-9-]+", id_)
    assert c.kind in KINDS and c.mode in MODES
    assert c.says and c.where and c.title
    assert re.search(r"seen|recalled|derived|proved|found here|definition|code", c.where), (
        f"{id_} does not say where it is from: {c.where}"
    )
    names = [m.name for m in c.controls]
    assert len(names) == len(set(names))
    parameters = inspect.signature(c.check).parameters
    for control in c.controls:
        assert control.changes, f"the control {control.name!r} of {id_} changes nothing"
        assert set(control.changes) <= set(parameters), f"{control.name!r} changes no argument of the check"
    for fault, reason in c.survivors.items():
        assert fault in FAULTS, f"{fault!r} is no generic fault"
        assert len(reason) > 20
    assert "\\begin" not in c.says
    assert "<math" in mathml(c.says), f"the statement of {id_} does not become MathML"


@pytest.mark.parametrize("path", PROOFS, ids=lambda p: str(p.relative_to(ROOT)))
def test_proof_file_has_a_claim(path):
    module = "mdpkit." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
    helpers = path.name.startswith("_")
    assert helpers or any(c.module == module for c in CLAIMS.values()), "no claim is made here"


def test_rooms_of_proofs_are_rooms_of_solvers():
    rooms = {p.parent.name for p in PROOFS}
    known = {p.parent.name for p in (ROOT / "solvers").glob("*/__init__.py")}
    assert rooms <= known | {"operators"}


def test_solver_files_have_proofs():
    for path in (ROOT / "solvers").glob("*/*.py"):
        if not path.name.startswith("_"):
            assert (ROOT / "proofs" / path.parent.name / path.name).is_file(), f"proofs/{path.parent.name}/{path.name}"


def test_few_faults_go_unnoticed_and_each_has_a_reason():
    # Whether they are noticed is asked of each claim above; here the number of excuses.
    excused = sum(len(c.survivors) for c in CLAIMS.values())
    assert excused <= 0.05 * 6 * len(CLAIMS)


def test_documents_name_claims_that_exist():
    for path in (ROOT / "docs").rglob("*.md"):
        if "_build" in path.parts:
            continue
        for id_ in re.findall(r"^```\{claim\} (\S+)$", path.read_text(encoding="utf-8"), re.M):
            assert id_ in CLAIMS, f"{path.relative_to(ROOT)} names {id_}"


def test_the_mapping():
    first = next(iter(CLAIMS))
    assert mk.claims[first] is CLAIMS[first]
    assert first in mk.claims
    assert len(mk.claims) == len(CLAIMS) == len(list(mk.claims))
    assert not {entry["id"] for entry in stated()} & set(CLAIMS)


def test_about_lists_what_is_promised():
    npg = mk.solvers.policy_gradient.NaturalPolicyGradient
    ids = {c.id for c in mk.claims.about(npg)}
    assert set(npg.claims) <= ids
    assert {c.id for c in mk.claims.about(npg())} == ids
    with pytest.raises(mk.MDPError, match="there is no such claim"):
        mk.claims["agarwal2021:npg-rat"]
