"""Every learner: what it declares, its compiled loop against its definition, the same luck, and what it refuses."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.choose import learner, learners
from mdpkit.claims.learning import staged
from mdpkit.environment import Adversarial, Delayed, Environment
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.play import rounds

LEARNERS = learners()


def ragged() -> mk.MDP:
    """Three states with one, two and three actions."""
    rng = np.random.default_rng(4)
    state, action = np.array([0, 1, 1, 2, 2, 2]), np.array([0, 0, 1, 0, 1, 2])
    return mk.MDP(
        rng.dirichlet(np.ones(3), size=6),
        rng.random(6),
        mk.FiniteHorizon(3),
        state=state,
        action=action,
        rho=[0.5, 0.25, 0.25],
    )


def environments() -> dict[str, Environment]:
    river = mk.instances.make("riverswim", n_states=3)
    few = ragged()
    rng = np.random.default_rng(8)
    tables = rng.random((3, 3, 6))
    return {
        "river": Environment(river.under(mk.FiniteHorizon(4))),
        "ragged": Environment(few),
        "ragged, noise": Environment(few, "bernoulli"),
        "ragged, known law": Environment(few, known=True),
        "by stage": Environment(staged(3, 3)),
        "costs": Environment(
            mk.MDP(few.P, 1 - few.r, few.criterion, state=few.state, action=few.action, rho=0, minimize=True)
        ),
        "adversary": Adversarial(few, tables),
        "adversary, known law": Adversarial(Environment(few, known=True), tables),
        "delays": Delayed(few, 3),
        "delayed adversary, known law": Delayed(Adversarial(Environment(few, known=True), tables), 3),
        "river, steps": Environment(river.under(mk.AverageReward())),
        "river, noisy steps": Environment(river.under(mk.AverageReward()), "bernoulli"),
        "ragged, steps": Environment(few.under(mk.AverageReward())),
        "river, discounted": Environment(river.under(mk.Discounted("4/5"))),
        "ragged, discounted": Environment(few.under(mk.Discounted("4/5"))),
        "linear": Environment(mk.LinearMDP.from_mdp(few, np.eye(6))) if hasattr(mk, "LinearMDP") else Environment(few),
    }


ENVIRONMENTS = environments()
ROUNDS = 40


def plays(kind: type, name: str) -> bool:
    """Whether a learner with its default parameters plays in an environment."""
    environment = ENVIRONMENTS[name]
    view = environment.view(ROUNDS)
    if not kind().accepts(view):
        return False
    try:
        kind().begin(view, np.random.default_rng(0))
    except (OptionError, UnsupportedError):
        return False
    return True


CASES = [(name, place) for name, kind in LEARNERS.items() for place in ENVIRONMENTS if plays(kind, place)]


def run(name: str, place: str, **options: Any) -> mk.Regret:
    unit = "steps" if ENVIRONMENTS[place].base.problem.kind == "average" else "episodes"
    options.setdefault("rng", np.random.default_rng(3))
    return mk.play(ENVIRONMENTS[place], LEARNERS[name](), **{unit: ROUNDS}, **options)


def test_every_learner_plays_somewhere() -> None:
    assert {name for name, _ in CASES} == set(LEARNERS)


@pytest.mark.parametrize("name", LEARNERS)
def test_what_a_learner_declares(name: str) -> None:
    kind = LEARNERS[name]
    assert kind.cites and kind.claims
    assert set(kind.kinds) <= {"finite", "average", "discounted"} and kind.kinds
    text = inspect.getdoc(kind) or ""
    for part in (".. math::", "**Guarantee.**", "References\n----------", "Examples\n--------"):
        assert part in text, part
    for claim in (*kind.claims, *filter(None, [kind.bounded_by])):
        assert claim in text and claim in mk.claims
    own = kind()
    assert pickle.loads(pickle.dumps(own)) == own
    assert hash(own) == hash(kind())
    with pytest.raises(AttributeError):
        own.anything = 1  # type: ignore[attr-defined]
    assert learner(name) == own
    with pytest.raises(OptionError, match="no parameter"):
        learner(f"{name}?nothing=1")
    assert not kind.optimistic or kind.series[0] == "index"


@pytest.mark.parametrize(("name", "place"), CASES)
def test_the_compiled_loop_is_the_definition(name: str, place: str) -> None:
    keep = "discounted" not in place
    plain = run(name, place, compiled=False, keep=keep)
    fast = run(name, place, keep=keep)
    np.testing.assert_allclose(fast.values, plain.values, rtol=1e-12, atol=1e-12)
    assert set(fast.series) == set(plain.series)
    for series in plain.series:
        np.testing.assert_allclose(fast.series[series], plain.series[series], rtol=1e-9, atol=1e-12)
    if keep:
        for part in ("states", "pairs", "rewards"):
            assert np.array_equal(getattr(fast, part), getattr(plain, part)), part
    assert fast.steps == plain.steps


@pytest.mark.parametrize(("name", "place"), CASES)
def test_the_same_seed_gives_the_same_run_and_regret_is_of_this_environment(name: str, place: str) -> None:
    one, two = run(name, place), run(name, place)
    assert np.array_equal(one.values, two.values)
    assert len(one) == ROUNDS
    best = np.broadcast_to(one.best, ROUNDS)
    if not ENVIRONMENTS[place].adversarial and one.unit != "step":
        assert np.all(one.per_round >= -1e-12)
    assert one.total == pytest.approx(float(np.sum(best - one.values)))


@pytest.mark.parametrize(("name", "place"), [case for case in CASES if LEARNERS[case[0]].optimistic])
def test_the_index_is_optimistic(name: str, place: str) -> None:
    # At the level 1 - delta for each; these seeds are within it.
    regret = run(name, place)
    assert np.all(regret.series["index"] >= np.broadcast_to(regret.best, ROUNDS) - 1e-12)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_refuses_other_problems(name: str) -> None:
    kind = LEARNERS[name]
    for place, environment in ENVIRONMENTS.items():
        if environment.base.problem.kind not in kind.kinds:
            with pytest.raises(UnsupportedError, match="does not play"):
                run(name, place)


@pytest.mark.parametrize(("name", "place"), CASES)
def test_rounds_are_those_of_play(name: str, place: str) -> None:
    regret = run(name, place, compiled=False)
    values = [
        played.value for played in rounds(ENVIRONMENTS[place], LEARNERS[name](), ROUNDS, np.random.default_rng(3))
    ]
    assert np.array_equal(regret.values, values)
