"""Runs of many claims: written down as they come, resumed, in parallel, reported."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

import mdpkit as mk
from mdpkit.claims import verify as engine
from mdpkit.claims.evidence import Verdict
from mdpkit.claims.registry import find
from mdpkit.claims.report import command, mathml, page, write
from mdpkit.cli import main
from mdpkit.errors import OptionError

QUICK = ["agarwal2021:npg-rate"]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MDPKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def evidence():
    return mk.claims[QUICK[0]].run()


def test_results_are_written_as_they_come_and_read_again(evidence, tmp_path):
    journal = engine.Journal("fast", 0, tmp_path)
    assert journal.read() == {}
    journal.add(evidence)
    assert journal.read() == {evidence.id: evidence}
    with journal.path.open("a") as file:
        file.write('{"id": "cut o')  # the process was killed while writing
    assert journal.read() == {evidence.id: evidence}
    journal.add(evidence)  # begins a line of its own
    assert len(journal.read()) == 1
    journal.close()
    assert not journal.path.exists()


def test_a_stopped_run_goes_on(evidence, tmp_path, monkeypatch):
    claims = find(*QUICK)
    journal = engine.Journal("fast", 0, tmp_path)
    monkeypatch.setattr(engine, "_check", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    run = engine.verify(claims, journal=journal)
    assert run.interrupted
    assert not run.ok
    journal.add(evidence)
    monkeypatch.setattr(engine, "_check", lambda *a: pytest.fail("checked twice"))
    run = engine.verify(claims, journal=journal)
    assert (run.resumed, run.results, run.ok) == (1, [evidence], True)
    assert not journal.path.exists()  # complete: the next run begins anew


def test_a_complete_run_leaves_what_another_run_was_stopped_at(evidence, tmp_path):
    journal = engine.Journal("fast", 0, tmp_path)
    journal.add(evidence)
    (other,) = find("mdpo:improvement")
    engine.verify([other], journal=journal)
    assert set(journal.read()) == {evidence.id}
    engine.verify([evidence.claim], journal=journal)
    assert not journal.path.exists()


def test_an_empty_cache_variable_names_no_folder(monkeypatch):
    monkeypatch.setenv("MDPKIT_CACHE", "")
    assert engine.cache_folder().is_absolute()


def test_a_cache_that_cannot_be_written_is_known_before(tmp_path):
    (tmp_path / "file").write_text("")
    assert engine.Journal("fast", 0, tmp_path).usable()
    assert not engine.Journal("fast", 0, tmp_path / "file").usable()


def test_one_claim_is_shown_whole(capsys):
    assert main(["claims", *QUICK]) == 0
    out = capsys.readouterr().out
    assert "\\frac" in out
    assert "controls: the anchor forgotten" in " ".join(out.split())
    assert main(["claims", "mdpo"]) == 0
    assert "mdpo:log-ratio" in capsys.readouterr().out


def test_a_name_is_no_solver_and_a_seed_not_negative():
    with pytest.raises(OptionError, match="no solver"):
        mk.claims.about("natural_policy_gradient")
    with pytest.raises(OptionError, match="seed"):
        mk.claims[QUICK[0]].run(seed=-1)


def test_statements_break_at_wide_spaces_outside_of_brackets():
    from mdpkit.claims.report import mathml

    assert mathml(r"a = \{ b, \quad c \}, \qquad \log |A| \quad \forall s").count("<span>") == 3
    assert "\\" not in mathml(r"\arg\max_a q \text{ in } 5\%")


def test_journals_of_other_seeds_levels_and_code_are_others(tmp_path, monkeypatch):
    paths = {engine.Journal(level, seed, tmp_path).path for level in ("fast", "full") for seed in (0, 1)}
    monkeypatch.setattr(engine, "fingerprint", lambda: "other")
    paths.add(engine.Journal("fast", 0, tmp_path).path)
    assert len(paths) == 5


def test_a_check_that_breaks_down_establishes_nothing(monkeypatch):
    monkeypatch.setattr(engine, "check", lambda *a, **k: 1 / 0)
    run = engine.verify(find(*QUICK))
    assert run.results[0].verdict is Verdict.NOT_ESTABLISHED
    assert run.results[0].notes == ("the check broke down: ZeroDivisionError: division by zero",)
    assert not run.ok


def test_the_fast_level_takes_what_fits_and_says_what_it_left_out(monkeypatch):
    claims = find()
    monkeypatch.setattr(engine, "recorded", lambda: {"fast": {c.id: 100.0 for c in claims}, "rows": {}})
    one = engine.select(claims, "fast", 2, rotation=1)
    assert len(one.claims) == min(3, len(claims))
    assert one.left_out == len(claims) - len(one.claims)
    assert engine.select(claims, "fast", 2, rotation=1).claims == one.claims
    if len(claims) > 20:
        assert engine.select(claims, "fast", 2, rotation=2).claims != one.claims
    for whole in (
        engine.select(claims, "full", 2, rotation=1),
        engine.select(claims, "fast", 2, rotation=1, whole=True),
    ):
        assert whole.claims == claims


def test_a_run_is_recorded(evidence, tmp_path):
    path = tmp_path / "verdicts.json"
    run = engine.Run("full", 0, [evidence])
    engine.record(path, run, "abc", "2026-01-01")
    engine.record(path, engine.Run("fast", 0, [evidence]), None, "2026-01-02")
    data = json.loads(path.read_text())
    assert (data["commit"], data["date"]) == ("abc", "2026-01-01")
    assert data["rows"][evidence.id]["verdict"] == "held"
    assert set(data["fast"]) == {evidence.id}


def test_several_processes_agree_with_one():
    pytest.importorskip("joblib")
    claims = (find() * 2)[:2]
    if claims[0] is claims[1]:
        pytest.skip("one claim")
    claims = sorted(claims, key=lambda c: c.id)
    begun: list[str] = []
    many = engine.verify(claims, jobs=2, begun=begun.append)
    assert sorted(begun) == [c.id for c in claims]

    def plain(run):
        return [replace(e, seconds=0.0).to_json() for e in run.results]  # as text, in which NaN equals NaN

    assert plain(many) == plain(engine.verify(claims))


# -- the report ------------------------------------------------------------------------------------------------------


def test_the_report_is_one_page_without_a_network(evidence, tmp_path):
    run = engine.Run("fast", 0, [evidence])
    text = write(run, tmp_path, date="2026-01-01", version="9").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', text)
    assert not re.search(r"<script|@import|url\((?!#)", text)
    for part in (
        "<math",
        "<svg",
        evidence.title,
        "@article{agarwal2021",
        command(evidence),
        evidence.worst.replace("&", "&amp;"),
    ):
        assert part in text
    assert json.loads((tmp_path / "results.json").read_text())[0]["id"] == evidence.id


def test_what_does_not_stand_is_named_in_the_report(evidence):
    import dataclasses

    bad = dataclasses.replace(evidence, verdict=Verdict.REFUTED, worst="<b>&")
    text = page(engine.Run("fast", 0, [bad]), date="x", version="9")
    assert "Not standing" in text
    assert "&lt;b&gt;&amp;" in text


def test_statements_become_mathml():
    assert "<mfrac>" in mathml(r"\tfrac{1}{2} \Bigl( \frac{\log|A|}{\eta} \Bigr)")
    assert mathml(r"\undefined{") == r"<code>\undefined{</code>" or "<math" in mathml(r"\undefined{")


# -- the command line ------------------------------------------------------------------------------------------------


def test_verify_on_the_command_line(capsys, tmp_path):
    assert main(["verify", *QUICK, "--json", "--quiet", "--report", str(tmp_path / "report")]) == 0
    out, err = capsys.readouterr()
    (row,) = json.loads(out)
    assert (row["id"], row["paper"], row["verdict"], row["family"]) == (
        QUICK[0],
        "agarwal2021",
        "held",
        "policy_gradient",
    )
    assert (tmp_path / "report/index.html").is_file()
    assert "report" in err
    assert main(["verify", "agarwal2021", "--jobs", "1"]) == 0
    out, err = capsys.readouterr()
    assert QUICK[0] in out
    assert f"held: {QUICK[0]}" in err


def test_verify_says_what_does_not_stand(capsys, monkeypatch):
    monkeypatch.setattr(engine, "check", lambda *a, **k: 1 / 0)
    assert main(["verify", *QUICK]) == 1
    assert "the check broke down" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing:here"], "no claim matches"),
        (["--level", "slow"], "the level is unknown"),
        (["--jobs", "0"], "no count of processes"),
        (["--seed", "-1"], "the seed is negative"),
        (["--family", "none"], "no such family"),
    ],
)
def test_bad_usage(arguments, says, capsys):
    assert main(["verify", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_claims_on_the_command_line(capsys):
    assert main(["claims", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["id"] for row in rows} == set(mk.claims) | {e["id"] for e in mk.claims.stated()}
    assert main(["claims", "--family", "policy_gradient"]) == 0
    out = capsys.readouterr().out
    assert QUICK[0] in out
    assert "dynamic programming" not in out


# -- citations -------------------------------------------------------------------------------------------------------


def test_citations(evidence):
    from mdpkit.solvers.policy_gradient import NaturalPolicyGradient

    assert mk.cite("kakade2001").startswith("@")
    assert repr(mk.cite("kakade2001")) == mk.cite("kakade2001")
    text = mk.cite(NaturalPolicyGradient)
    assert text == mk.cite(NaturalPolicyGradient()) and "kakade2001" in text and "agarwal2021" in text
    assert "agarwal2021" in mk.cite(evidence)
    assert "kakade2001" in mk.cite(mk.claims[QUICK[0]])
    sol = mk.solve(mk.instances.make("riverswim"), "policy_iteration")
    assert "howard1960" in mk.cite(sol)
    with pytest.raises(OptionError, match="no such key"):
        mk.cite("kakade2101")
    with pytest.raises(OptionError, match="cites nothing"):
        mk.cite(3)
