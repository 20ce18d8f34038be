"""Every solver on every instance it accepts, in every representation."""

from __future__ import annotations

import inspect
import os
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import oracle as o
import pytest
import scipy.sparse as sp

import mdpkit as mk
from mdpkit.choose import estimators, learners, method, methods
from mdpkit.errors import ModelError, OptionError, UnsupportedError
from mdpkit.models.canonical import canonical
from mdpkit.solver import DirectSolver, IterativeSolver

F = Fraction
SMALL = 60
FEW = 8
"""Steps of the solvers that come near the solution too slowly, or not to it at all."""


def problems() -> dict[str, mk.MDP]:
    found: dict[str, mk.MDP] = {}
    for name in mk.instances.names():
        mdp = mk.instances.make(name, **dict(mk.instances.info(name).example))
        if mdp.n_states > SMALL:
            continue
        found[name] = mdp
        if any(known.criterion == "average" for known in mk.instances.info(name).known):
            found[f"{name}, average"] = mdp.under(mk.AverageReward())
    found["haddad-monmege"] = mk.instances.make("haddad-monmege", n=4)
    return found | regularized()


def regularized() -> dict[str, mk.MDP]:
    """With entropy, with a reference policy, with costs, and with states of one action."""
    river, garnet = mk.instances.make("riverswim"), mk.instances.make("garnet", S=4, A=3, branching=2, seed=5)
    weights = np.array([[F(1, 6), F(1, 3), F(1, 2)]] * 4, dtype=object)
    return {
        "riverswim, entropy": river.under(mk.EntropyRegularized("9/10", "1/2")),
        "garnet, reference": garnet.under(mk.EntropyRegularized("4/5", "1/10", weights)),
        "garnet, costs with entropy": garnet.under(mk.EntropyRegularized("4/5", 2), minimize=True),
        "puterman, entropy": mk.instances.make("puterman-two-state").under(mk.EntropyRegularized("4/5", "1/100")),
    }


def fits(kind: Any, mdp: mk.MDP) -> bool:
    """Whether a solver with its default parameters solves a problem; a step may be too long for a temperature."""
    problem = canonical(mdp)
    if not kind().accepts(problem):
        return False
    if problem.kind == "regularized" and issubclass(kind, IterativeSolver):
        rng = np.random.default_rng(0)
        try:
            kind().step(problem, kind().init(problem, rng), rng)
        except OptionError:
            return False
    return True


PROBLEMS = problems()
METHODS = methods()
MIXED = (
    "blackwell-1962",
    "c-mu-queues",
    "garnet",
    "howard-taxicab",
    "jack-car-rental",
    "machine-replacement",
    "riverswim",
)
"""Ragged actions, costs, floats: what the many methods that only come near the solution are run on, or all if
``MDPKIT_ALL_INSTANCES`` is set; the others are run on everything."""


def asked(kind: type, problem: str) -> bool:
    """Whether a solver is run on a problem that it accepts."""
    few = (
        kind.sublinear
        and "features" not in kind.needs
        and canonical(PROBLEMS[problem]).kind == "discounted"
        and not os.environ.get("MDPKIT_ALL_INSTANCES")
    )
    return not few or problem in MIXED


CASES = [
    (name, problem)
    for problem, mdp in PROBLEMS.items()
    for name, kind in METHODS.items()
    if fits(kind, mdp) and asked(kind, problem)
]
TRUTH: dict[str, Any] = {}


def rational(mdp: mk.MDP) -> mk.MDP:
    """The model in rationals: as bits where its floats are no rationals with rows that sum to one."""
    try:
        return mdp.exact()
    except ModelError:
        return mdp.exact(dyadic=True)


def truth(problem: str) -> Any:
    if problem not in TRUTH:
        mdp = rational(PROBLEMS[problem])
        TRUTH[problem] = soft_value(mdp) if is_soft(mdp) else mk.solve(mdp, exact=True).exact
    return TRUTH[problem]


def is_soft(mdp: mk.MDP) -> bool:
    return isinstance(mdp.criterion, mk.EntropyRegularized)


def soft_value(mdp: mk.MDP, policy: Any = None) -> Any:
    """The optimal value, or a policy's, with entropy: fixed-point iteration with fifty digits, by its own loops."""
    c: Any = mdp.criterion
    with mpmath.workdps(50):

        def mp(x: Any) -> Any:
            return mpmath.mpf(x.numerator) / x.denominator if isinstance(x, F) else mpmath.mpf(float(x))

        sign, gamma, tau = (-1 if mdp.minimize else 1), mp(F(c.exact)), mp(F(c.tau_exact))
        model = [
            [
                (
                    sign * mp(F(mdp.reward.exact[k])),
                    [(t, mp(F(x))) for t, x in zip(*row_of(mdp, k), strict=True)],
                    mp(F(1) if c.reference is None else F(c.reference_exact[s, mdp.action[k]])),
                    None if policy is None else mp(policy[s, mdp.action[k]]) / mpmath.fsum(map(mp, policy[s])),
                )
                for k in mdp.pairs_of(s)
            ]
            for s in range(mdp.n_states)
        ]
        V = [mpmath.mpf(0)] * mdp.n_states
        for _ in range(1100):
            before, V = V, []
            for actions in model:
                q = [(r + gamma * mpmath.fsum(x * before[t] for t, x in row), mu, pi) for r, row, mu, pi in actions]
                if policy is None:
                    V.append(tau * mpmath.log(mpmath.fsum(mu * mpmath.exp(x / tau) for x, mu, _ in q)))
                else:
                    V.append(mpmath.fsum(pi * (x - tau * mpmath.log(pi / mu)) for x, mu, pi in q if pi))
            if max(abs(x - y) for x, y in zip(V, before, strict=True)) < mpmath.mpf(10) ** -40:
                break
        return np.array([F(str(mpmath.nstr(sign * x, 40))) for x in V], dtype=object)


def row_of(mdp: mk.MDP, k: int) -> tuple[list[int], list[Any]]:
    part = slice(int(mdp.P.indptr[k]), int(mdp.P.indptr[k + 1]))
    return mdp.P.indices[part].astype(int).tolist(), mdp.P.rationals()[part].tolist()


def test_every_room_is_walked() -> None:
    rooms = Path(mk.__file__).parent / "solvers"
    files = {path.stem for path in rooms.glob("*/*.py")} - {"__init__"}
    found = [*METHODS.values(), *learners().values(), *estimators().values()]
    assert {kind.__module__.rpartition(".")[2] for kind in found} == files


def test_every_instance_has_a_solver_and_every_solver_an_instance() -> None:
    assert {name for name, _ in CASES} == set(METHODS)
    assert {problem for _, problem in CASES} == set(PROBLEMS)


@pytest.mark.parametrize("name", METHODS)
def test_what_a_solver_declares(name: str) -> None:
    kind = METHODS[name]
    assert kind.cites
    assert kind.claims
    assert set(kind.kinds) <= {"discounted", "finite", "total", "average", "regularized"}
    assert kind.kinds
    text = inspect.getdoc(kind) or ""
    for part in (".. math::", "**Guarantee.**", "References\n----------", "Examples\n--------"):
        assert part in text, part
    for claim in kind.claims:
        assert claim in text
        assert ":" in claim
    for key in kind.cites:
        assert key in text
    assert issubclass(kind, (IterativeSolver, DirectSolver))
    solver = kind()
    assert pickle.loads(pickle.dumps(solver)) == solver
    assert hash(solver) == hash(kind())
    with pytest.raises(AttributeError):
        solver.anything = 1  # type: ignore[attr-defined]
    assert method(name) == solver
    with pytest.raises(OptionError, match="no parameter"):
        method(f"{name}?nothing=1")


@pytest.mark.parametrize("name", METHODS)
def test_a_solver_refuses_other_problems(name: str) -> None:
    kind = METHODS[name]
    for mdp in PROBLEMS.values():
        if not kind().accepts(canonical(mdp)):
            with pytest.raises(UnsupportedError, match="does not solve"):
                mk.solve(mdp, kind())


def contents(mdp: mk.MDP) -> list[bytes]:
    arrays = (mdp.P.indptr, mdp.P.indices, mdp.P.data, mdp.pair_ptr, mdp.action, mdp.state)
    return [a.tobytes() for a in arrays] + ([] if mdp.active is None else [mdp.r.tobytes()])


def attained(problem: str, policy: Any, lower: Any, upper: Any) -> None:
    """The policy's own value, in rationals, is between the certified bounds."""
    mdp = PROBLEMS[problem]
    if is_soft(mdp):
        value = soft_value(rational(mdp), np.asarray(policy))
        assert all(low <= v <= high for low, v, high in zip(lower, value, upper, strict=True))
        return
    model = o.read(rational(mdp))
    c: Any = mdp.criterion
    sign = -1 if mdp.minimize else 1
    if isinstance(c, mk.FiniteHorizon):
        value = [F(0)] * mdp.n_states if c.terminal is None else list(rational(mdp).criterion.terminal_exact)
        gamma = F(rational(mdp).criterion.exact)
        for h in range(c.H - 1, -1, -1):
            chosen = [model[s][_index(mdp, s, a)] for s, a in enumerate(policy.actions[h].tolist())]
            value = [r + gamma * sum((p * value[t] for t, p in row.items()), F(0)) for r, row in chosen]
        assert all(low <= v <= high for low, v, high in zip(lower[0], value, upper[0], strict=True))
        return
    actions = [_index(mdp, s, a) for s, a in enumerate(policy.actions.tolist())]
    rewards, rows = o.chain(model, actions)
    if isinstance(c, mk.AverageReward):
        value = o.chain_total(rewards, rows).gain
    elif isinstance(c, mk.Discounted):
        value = o.discounted_policy(model, actions, F(rational(mdp).criterion.exact))
    elif isinstance(c, mk.Reachability):
        value = o.hitting(rows, set(np.flatnonzero(mdp.states_of(c.target)).tolist()))
    elif c.target is None:
        value = [sign * v for v in o.chain_total([sign * r for r in rewards], rows).value]
    else:
        goal = set(np.flatnonzero(mdp.states_of(c.target)).tolist())
        reach = o.hitting(rows, goal)
        sure = [s for s in range(mdp.n_states) if reach[s] == 1]
        x = o.solve_on(rows, [s for s in sure if s not in goal], rewards)
        value = [x.get(s, F(0)) if s in sure else o.INF for s in range(mdp.n_states)]
    assert all(low <= v <= high for low, v, high in zip(lower, value, upper, strict=True))


def _index(mdp: mk.MDP, s: int, a: int) -> int:
    return mdp.pair(s, a) - int(mdp.pair_ptr[s])


@pytest.mark.parametrize(("name", "problem"), CASES)
def test_solver_on_instance(name: str, problem: str) -> None:
    mdp = PROBLEMS[problem]
    before = contents(mdp)
    limit = {"max_steps": FEW} if METHODS[name].sublinear else {}
    sol = mk.solve(mdp, name, **limit)
    certificate = sol.certificate
    value = truth(problem)
    if isinstance(mdp.criterion, mk.AverageReward) and not np.any(value):
        assert certificate.gap <= 1e-12 * np.max(np.abs(mdp.r))  # a gap relative to zero is out of the reach of floats
    else:
        assert sol.status.ok or (sol.status is mk.Status.STEPS and limit)
    assert certificate.valid
    assert certificate.verify(mdp)
    assert certificate.verify(rational(mdp), exact=True)
    for low, v, high in zip(certificate.lower.ravel(), value.ravel(), certificate.upper.ravel(), strict=True):
        assert low <= v <= high
    inside = (certificate.lower <= sol.V) & (sol.V <= certificate.upper)
    assert np.all(inside | (sol.exact is not None))
    attained(problem, sol.pi, certificate.lower, certificate.upper)
    assert contents(mdp) == before
    again = mk.solve(mdp, name, **limit)
    assert again.V.tolist() == sol.V.tolist()
    assert again.certificate.lower.tolist() == certificate.lower.tolist()
    assert again.steps == sol.steps
    copy = pickle.loads(pickle.dumps(sol))
    assert copy.V.tolist() == sol.V.tolist()
    assert copy.certificate.verify(mdp)
    assert "Solution(" in repr(sol)
    if is_soft(mdp):
        with pytest.raises(UnsupportedError, match="no rationals"):
            mk.solve(rational(mdp), name, exact=True, **limit)
        return
    if METHODS[name].sublinear and problem != "c-mu-queues":
        return  # the way to exact answers does not depend on the method
    exact = mk.solve(rational(mdp), name, exact=True, **limit)
    assert exact.status is mk.Status.EXACT
    assert exact.exact is not None
    assert np.all(exact.exact == value)
    attained(problem, exact.pi, exact.exact, exact.exact)
    assert exact.certificate.verify(mdp)


def forms(mdp: mk.MDP) -> dict[str, Any]:
    """The same model in the shapes that the field uses, and where its states have gone."""
    S, A, L = mdp.n_states, mdp.n_actions, mdp.n_pairs
    P, c, labels = mdp.P, mdp.criterion, dict(mdp.labels)
    rows = P.toarray()
    options: Any = {"minimize": mdp.minimize, "labels": labels}
    reward = None if mdp.active is None else mdp.r
    here = np.arange(S)
    made: dict[str, Any] = {}
    pairs = {"state": mdp.state, "action": mdp.action}
    made["pairs"] = mk.MDP(rows, reward, c, **pairs, **options), here
    made["sparse pairs"] = mk.MDP(sp.csr_matrix(rows), reward, c, **pairs, **options), here
    shuffled = np.random.default_rng(1).permutation(L)
    made["shuffled pairs"] = (
        mk.MDP(
            sp.coo_array(rows[shuffled]),
            None if reward is None else reward[shuffled],
            c,
            state=mdp.state[shuffled],
            action=mdp.action[shuffled],
            **options,
        ),
        here,
    )
    order = np.random.default_rng(2).permutation(S)
    if getattr(c, "terminal", None) is None and getattr(c, "reference", None) is None:
        back = np.argsort(order)
        target = getattr(c, "target", None)
        moved_c = c
        if target is not None and not isinstance(target, str):
            moved_c = type(c)(np.sort(order[np.flatnonzero(mdp.states_of(target))]))
        made["permuted"] = (
            mk.MDP(
                rows[:, back],
                reward,
                moved_c,
                state=order[mdp.state],
                action=mdp.action,
                minimize=mdp.minimize,
                labels={name: mask[back] for name, mask in labels.items()},
            ),
            order,
        )
    if L == S * A:
        cube = rows.reshape(S, A, S)
        table = None if reward is None else reward.reshape(S, A)
        made["dense"] = mk.MDP(cube, table, c, **options), here
        made["sparse"] = mk.MDP(sp.csc_array(rows), table, c, **options), here
        made["list"] = mk.MDP([cube[:, a] for a in range(A)], table, c, **options), here
        lists = [sp.csr_array(cube[:, a]) for a in range(A)]
        made["list of sparse"] = mk.MDP(lists, table, c, **options), here
        made["nested lists"] = mk.MDP(cube.tolist(), table, c, **options), here
    if mdp.is_exact:
        full = np.full((L, S), F(0), dtype=object)
        full[P.row_of, P.indices.astype(int)] = P.exact
        exact_r = None if mdp.active is None else mdp.reward.exact
        made["rationals"] = mk.MDP(full, exact_r, c, **pairs, **options), here
        texts = np.array([str(x) for x in full.ravel()]).reshape(full.shape)
        made["texts"] = mk.MDP(texts, exact_r, c, **pairs, **options), here
    return made


@pytest.mark.parametrize("problem", PROBLEMS)
def test_representations(problem: str) -> None:
    mdp = PROBLEMS[problem]
    value = truth(problem)
    for form, (other, order) in forms(mdp).items():
        if form != "permuted":
            assert other.pair_ptr.tolist() == mdp.pair_ptr.tolist()
            assert np.array_equal(other.P.toarray(), mdp.P.toarray())
        if form in ("rationals", "texts"):
            assert other.is_exact
            assert other.digest == mdp.digest
        exact_form = mdp.is_exact or other.is_exact
        for name, kind in METHODS.items():
            if not (fits(kind, other) and asked(kind, problem)):
                continue
            limit = {"max_steps": 2} if kind.sublinear else {}
            sol = mk.solve(other, name, **limit)
            assert sol.status.ok or limit or (canonical(other).kind == "average" and not np.any(value)), (form, name)
            lower, upper = sol.certificate.lower, sol.certificate.upper
            for low, v, high in zip(lower[..., order].ravel(), value.ravel(), upper[..., order].ravel(), strict=True):
                assert low <= v <= high, (form, name)
            if exact_form:
                assert sol.certificate.verify(other, exact=True), (form, name)


@pytest.mark.parametrize("name", [n for n, kind in METHODS.items() if issubclass(kind, IterativeSolver)])
def test_the_largest_number_of_steps_is_a_status(name: str) -> None:
    homes = {
        "discounted": "riverswim",
        "total": "haddad-monmege",
        "average": "howard-toymaker, average",
        "finite": "puterman-inventory",
        "regularized": "riverswim, entropy",
    }
    able = [homes[kind] for kind in homes if kind in METHODS[name].kinds and fits(METHODS[name], PROBLEMS[homes[kind]])]
    problem = [*able, *(p for n, p in CASES if n == name)][0]
    mdp = PROBLEMS[problem]
    for limit in (0, 1, 2):
        sol = mk.solve(mdp, name, max_steps=limit)
        assert sol.steps <= limit
        assert sol.status is mk.Status.STEPS or sol.status.ok
        assert sol.status.ok or sol.steps == limit
        assert sol.certificate.valid
        assert sol.certificate.verify(mdp, exact=True)
        assert np.all((sol.certificate.lower <= truth(problem)) & (truth(problem) <= sol.certificate.upper))
    sol = mk.solve(mdp, name, until=mk.Steps(2))
    assert sol.steps <= 2
    for bad in (-1, 1.5, "3", True):
        with pytest.raises(OptionError, match="max_steps"):
            mk.solve(mdp, name, max_steps=bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", METHODS)
def test_the_generator_is_touched_by_randomized_solvers_only(name: str) -> None:
    problem = next(p for n, p in CASES if n == name)
    rng = np.random.default_rng(5)
    mk.solve(PROBLEMS[problem], name, rng=rng, max_steps=FEW if METHODS[name].sublinear else None)
    assert (rng.random() == np.random.default_rng(5).random()) is not METHODS[name].randomized


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"solver": type(method("value_iteration"))}, r"write ValueIteration\(\)"),
        ({"solver": 3}, "this is no solver"),
        ({"until": 1e-6}, "until is no stop rule"),
        ({"max_steps": -1}, "max_steps is no count"),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        mk.solve(mk.instances.make("riverswim"), **settings)


def test_stop_rules_out_of_range_are_refused() -> None:
    for rule in (lambda: mk.Steps(-1), lambda: mk.Residual(float("nan")), lambda: mk.Residual(-1.0)):
        with pytest.raises(OptionError):
            rule()


def test_the_largest_number_of_steps_also_limits_the_rule_of_steps() -> None:
    mdp = mk.instances.make("riverswim")
    sol = mk.solve(mdp, "value_iteration", until=mk.Steps(5), max_steps=3)
    assert (sol.steps, sol.status) == (3, mk.Status.STEPS)
    sol = mk.solve(mdp, "value_iteration", until=mk.Steps(3), max_steps=5)
    assert (sol.steps, sol.status) == (3, mk.Status.SOLVED)


def test_text_that_is_no_number_is_named_by_its_place() -> None:
    with pytest.raises(OptionError, match=r"entry \[0, 0, 1\] of P"):
        mk.MDP([[["1/3", "two"]], [[0, 1]]], [[0], [0]], mk.Discounted("1/2"))
    with pytest.raises(OptionError, match=r"entry \[1, 0\] of r"):
        mk.MDP([[["1/3", "2/3"]], [[0, 1]]], [["0"], ["x"]], mk.Discounted("1/2"))
    with pytest.raises(OptionError, match="discount factor gamma"):
        mk.Discounted("much")
