"""What the separating models separate: by counting iterations, and by closed forms at other parameters."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import oracle as o
import pytest

from mdpkit import instances
from mdpkit.errors import OptionError

F = Fraction


def only_chain(mdp):
    model = o.read(mdp)
    return o.chain(model, [0] * len(model))


def check_bias(mdp, gain, bias):
    """The evaluation equations, and the normalization by a stationary law that the oracle solves for."""
    rewards, rows = only_chain(mdp)
    for s, row in enumerate(rows):
        assert gain + bias[s] == rewards[s] + sum(p * bias[t] for t, p in row.items())
    (members,) = o.recurrent_classes(rows)
    law = o.stationary(rows, sorted(members))
    assert sum(m * bias[s] for m, s in zip(law, sorted(members), strict=True)) == 0


@pytest.mark.parametrize(("n", "p"), [(2, F(1, 2)), (3, F(1, 7)), (5, F(1, 1000))])
def test_two_cliques(n, p):
    gate = n / (4 * p)
    bias = [-gate - F(n, 2)] * (n - 1) + [-gate, gate] + [gate + F(n, 2)] * (n - 1)
    mdp = instances.make("two-cliques", n=n, p=p)
    check_bias(mdp, F(1, 2), bias)
    assert np.array_equal(mdp.P.toarray(), mdp.P.toarray().T)


@pytest.mark.parametrize(("n", "stay"), [(1, F(0)), (4, F(0)), (5, F(2, 3))])
def test_cycle(n, stay):
    bias = [(F(n - 1, 2) - (n - s) % n) / (n * (1 - stay)) for s in range(n)]
    mdp = instances.make("cycle", n=n, stay=stay)
    check_bias(mdp, F(1, n), bias)
    _, rows = only_chain(mdp)
    assert o.period(rows, frozenset(range(n))) == (1 if stay else n)


@pytest.mark.parametrize("delay", [1, 2, 6])
@pytest.mark.parametrize(("gamma", "best"), [("7/10", {0}), ("3/4", {0, 1}), ("4/5", {1})])
def test_delayed_reward(delay, gamma, best):
    mdp = instances.make("delayed-reward", delay=delay, threshold="3/4", gamma=gamma)
    model = o.read(mdp)
    values = {a: o.discounted_policy(model, [a] + [0] * (delay + 1), F(gamma))[0] for a in (0, 1)}
    assert {a for a in values if values[a] == max(values.values())} == best
    assert values == {0: F(3, 4) ** delay, 1: F(gamma) ** delay}


@pytest.mark.parametrize(("gamma", "best"), [("3/5", {0}), ("2/3", {0, 1}), ("7/10", {1})])
def test_blackwell_threshold(gamma, best):
    model = o.read(instances.make("blackwell-threshold", threshold="2/3", gamma=gamma))
    values = {a: o.discounted_policy(model, [a, 0], F(gamma))[0] for a in (0, 1)}
    assert {a for a in values if values[a] == max(values.values())} == best
    gains = [o.chain_total(*o.chain(model, [a, 0])).gain[0] for a in (0, 1)]
    assert gains == [1, 2]


def backup(model, V, gamma):
    return [max(r + gamma * sum(p * V[t] for t, p in row.items()) for r, row in pairs) for pairs in model]


@pytest.mark.parametrize(("sweeps", "gamma"), [(0, F(1, 2)), (1, F(1, 2)), (7, F(2, 3)), (30, F(9, 10))])
def test_value_iteration_is_fooled_for_the_promised_number_of_sweeps(sweeps, gamma):
    model = o.read(instances.make("feinberg-huang", sweeps=sweeps, gamma=gamma))
    V = [F(0)] * 3
    for k in range(sweeps + 3):
        q = [r + gamma * sum(p * V[t] for t, p in row.items()) for r, row in model[0]]
        assert (q[0] > q[1]) == (k < sweeps)
        assert (q[0] == q[1]) == (k == sweeps)
        V = backup(model, V, gamma)
    assert o.best_discounted(model, gamma) == [gamma / (1 - gamma), 0, 1 / (1 - gamma)]


@pytest.mark.parametrize("n", [2, 3, 9])
def test_gauss_seidel_depends_on_the_order(n):
    gamma, needed = F(9, 10), {}
    for direction in ("up", "down"):
        model = o.read(instances.make("sweep-order", n=n, direction=direction))
        best = o.best_discounted(model, gamma)
        V, sweeps = [F(0)] * n, 0
        while best != V:
            for s in range(n):
                V[s] = backup([model[s]], V, gamma)[0]
            sweeps += 1
        needed[direction] = sweeps
    assert needed == {"up": n - 1, "down": 1}


def improvable(model, policy, n):
    """The decision states of the chain with a better action, in order; all advantages are as the docstring says."""
    value = o.hitting(o.chain(model, policy)[1], {2 * n + 1})
    q = [[sum(p * value[t] for t, p in row.items()) for _, row in pairs] for pairs in model]
    assert all(abs(q[i][1] - q[i][0]) == F(1, 2 ** (i - 1)) for i in range(1, n + 1))
    return [i for i in range(1, n + 1) if q[i][1 - policy[i]] > value[i]]


@pytest.mark.parametrize("n", range(1, 7))
def test_simple_policy_iteration_walks_through_all_policies(n):
    model = o.read(instances.make("melekopoglou-condon", n=n))
    policy = [0] * len(model)
    switches, seen = 0, {tuple(policy)}
    while better := improvable(model, policy, n):
        policy[better[-1]] = 1 - policy[better[-1]]
        switches += 1
        seen.add(tuple(policy))
    assert switches == 2**n - 1
    assert len(seen) == 2**n
    assert policy[1 : n + 1] == [1] + [0] * (n - 1)
    howard, steps = [0] * len(model), 0
    while better := improvable(model, howard, n):
        for i in better:
            howard[i] = 1 - howard[i]
        steps += 1
    assert (steps, howard) == (n, policy)


def test_baird_s_star_diverges_with_the_book_s_features():
    mdp = instances.make("baird-star")
    phi = np.zeros((7, 8))
    phi[range(6), range(6)], phi[:6, 7] = 2, 1
    phi[6, 6], phi[6, 7] = 1, 2
    P = np.array([mdp.P.toarray()[mdp.pair(s, 1)] for s in range(7)])
    dashed = np.array([mdp.P.toarray()[mdp.pair(s, 0)] for s in range(7)])
    behavior = 6 / 7 * dashed + P / 7
    law = np.linalg.matrix_power(behavior, 50)[0]
    assert np.allclose(law, 1 / 7)
    growth = phi.T @ np.diag(law) @ (0.99 * P - np.eye(7)) @ phi  # the expected off-policy TD(0) update
    assert np.linalg.eigvals(growth).real.max() > 1e-3
    on_policy = phi.T @ np.diag(np.eye(7)[6]) @ (0.99 * P - np.eye(7)) @ phi
    assert np.linalg.eigvals(on_policy).real.max() < 1e-9


@pytest.mark.parametrize(("end", "gamma"), [(F(1, 100), F(99, 100)), (F(1, 2), F(9, 10))])
def test_least_squares_value_iteration_multiplies_by_the_factor_of_the_docstring(end, gamma):
    _, rows = only_chain(instances.make("tsitsiklis-van-roy", end=end, gamma=gamma))
    x = [1, 2, 0]
    ahead = [gamma * sum(p * x[t] for t, p in row.items()) for row in rows]
    factor = sum(x[s] * ahead[s] for s in (0, 1)) / F(5)
    assert factor == gamma * (6 - 4 * end) / 5
    assert (factor > 1) == (gamma > 5 / (6 - 4 * end))


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_deep_sea(size):
    """The closed form against as many backups as there are rows."""
    cost = F(1, 100)
    q = 1 - F(1, size)
    for stochastic, want in ((False, 1 - cost), (True, q ** (size - 1) - cost * (1 - q**size))):
        mdp = instances.make("deep-sea", size=size, stochastic=stochastic)
        model = o.read(mdp)
        V = [F(0)] * len(model)
        for _ in range(size):
            V = backup(model, V, 1)
        assert V[0] == want
        shuffled = o.read(instances.make("deep-sea", size=size, stochastic=stochastic, shuffled=True, seed=3))
        assert all(sorted(map(str, a)) == sorted(map(str, b)) for a, b in zip(model, shuffled, strict=True))
        assert mdp.n_states == size * (size + 1) // 2 + 1
    three = o.read(instances.make("deep-sea", size=3, stochastic=True))
    third = F(1, 300)
    assert three[0] == [(F(0), {1: 1}), (-third, {1: F(1, 3), 2: F(2, 3)})]
    assert three[2] == [(F(0), {3: 1}), (-third, {4: F(1, 3), 5: F(2, 3)})]
    assert three[5] == [(F(0), {6: 1}), (1 - third, {6: 1})]
    assert three[4] == [(F(0), {6: 1}), (-third, {6: 1})]


def test_a_random_policy_rarely_finds_the_bottom_of_the_sea():
    model = o.read(instances.make("deep-sea", size=6, move_cost=0))
    V = [F(0)] * len(model)
    for _ in range(6):
        V = [sum(r + sum(p * V[t] for t, p in row.items()) for r, row in pairs) / 2 for pairs in model]
    assert V[0] == F(1, 2**6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("two-cliques?n=4&p=1/3", ["'p'", "1/4"]),
        ("two-cliques?p=0", ["'p'", "0 < p"]),
        ("cycle?stay=1", ["'stay'", "0 <= stay < 1"]),
        ("delayed-reward?delay=0", ["'delay'"]),
        ("blackwell-threshold?threshold=1", ["'threshold'", "1/2 <= threshold < 1"]),
        ("feinberg-huang?gamma=1", ["gamma"]),
        ("feinberg-huang?gamma=0", ["'gamma'", "0 < gamma"]),
        ("sweep-order?direction=left", ["none of the choices"]),
        ("deep-sea?size=0", ["'size'"]),
        ("tsitsiklis-van-roy?end=2", ["'end'"]),
    ],
)
def test_parameters_are_checked(text, words):
    with pytest.raises(OptionError) as caught:
        instances.make(text)
    assert all(word in str(caught.value) for word in words), str(caught.value)
