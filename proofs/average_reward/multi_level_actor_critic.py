r"""Claims about multi-level Monte Carlo along a path, and about the actor-critic that uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal, claim, equal, fact, leq, mutant, point
from mdpkit.claims.cases import chosen
from mdpkit.claims.claim import Case, Level, Rate
from mdpkit.claims.episodes import Episodes
from mdpkit.claims.exact import solve, span, sup
from mdpkit.claims.judge import Judge, array, ball, dot, log
from mdpkit.claims.statistics import bounded_mean
from mdpkit.claims.trial import call, iterates, pose
from mdpkit.claims.variants import recast
from mdpkit.errors import PrecisionError
from mdpkit.instances import make
from mdpkit.kernels import multilevel, occupancy
from mdpkit.models.criterion import AverageReward, Discounted
from mdpkit.models.mdp import MDP
from mdpkit.operators.log_linear import LogLinear
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solvers.average_reward import MultiLevelActorCritic

F = Fraction
ONE = F(1)
Matrix = list[list[Fraction]]
Weights = Callable[..., Any]


# -- instances -------------------------------------------------------------------------------------------------------


def two_states(leave: Any, back: Any) -> Case:
    """A chain of two states, of which the second pays one."""
    p, q = F(leave), F(back)
    mdp = MDP([[[1 - p, p]], [[q, 1 - q]]], [[F(0)], [F(1)]], AverageReward(), rho=0)
    return Case(f"two states, left with {p} and {q}", mdp)


SLOW = two_states("1/50", "3/100")
FAST = two_states("1/2", "1/10")


def cliques() -> Case:
    """Two cliques joined by a bridge."""
    return Case("two-cliques, average", make("two-cliques").under(AverageReward()))


def random_model(seed: int, S: int = 3) -> Case:
    """A random model of positive laws under the average reward, from the uniform law."""
    source = f"random-dense?S={S}&A=2&seed={seed}"
    law = np.array([F(1, S)] * S, dtype=object)
    return Case(
        f"{source}, average, rho=uniform", make("random-dense", S=S, A=2, seed=seed).under(AverageReward(), rho=law)
    )


def chains(level: Level, rng: Any) -> Iterator[Case]:
    """The slow chain of two states, the two cliques, and random models under a policy that is not uniform."""
    yield SLOW
    yield cliques()
    for _ in range(1 if level == "fast" else 4):
        yield random_model(int(rng.integers(10_000)))


def models(level: Level, rng: Any) -> Iterator[Case]:
    """Random models of two and three states."""
    for i in range(2 if level == "fast" else 5):
        yield random_model(int(rng.integers(10_000)), 2 + i % 2)


# -- the judge -------------------------------------------------------------------------------------------------------


class Chain:
    """A policy's chain in rationals: law, gain, and the solution of Poisson's equation, by the judge's own code.

    The policy takes the pairs of a state in proportion to 1, 2, ….
    """

    def __init__(self, mdp: MDP):
        judge = self.judge = Judge(mdp.under(Discounted(F(1, 2))))
        self.S = judge.S
        self.pi = [F(0)] * judge.L
        for pairs in judge.pairs:
            for i, k in enumerate(pairs):
                self.pi[k] = F(2 * (i + 1), len(pairs) * (len(pairs) + 1))
        self.P = self.matrix(self.pi)
        self.h = judge.exact_mean(self.pi, judge.r_exact)
        self.law = self.stationary()
        self.gain = sum((m * x for m, x in zip(self.law, self.h, strict=True)), F(0))
        self.f = [x - self.gain for x in self.h]
        I_P = [[F(int(s == t)) - self.P[s][t] + self.law[t] for t in range(self.S)] for s in range(self.S)]
        self.bias: list[Fraction] = solve(I_P, self.f)[0]

    def matrix(self, pi: Sequence[Fraction]) -> Matrix:
        """The chain of a policy."""
        j = self.judge
        return [[sum((pi[k] * j.P_exact[k][t] for k in pairs), F(0)) for t in range(j.S)] for pairs in j.pairs]

    def stationary(self) -> list[Fraction]:
        """The law that the chain keeps."""
        A = [[self.P[s][t] - F(int(s == t)) for s in range(self.S)] for t in range(self.S)]
        A[-1] = [F(1)] * self.S
        return solve(A, [F(0)] * (self.S - 1) + [F(1)])[0]

    def after(self, x: Sequence[Fraction]) -> list[Fraction]:
        """Px."""
        return [sum((p * v for p, v in zip(row, x, strict=True)), F(0)) for row in self.P]

    def powers(self, x: Sequence[Fraction], n: int) -> list[list[Fraction]]:
        """x, Px, …, P^n x."""
        out = [list(x)]
        for _ in range(n):
            out.append(self.after(out[-1]))
        return out

    def moment(self, weights: Sequence[Fraction]) -> list[Fraction]:
        """The second moment of the weighted sum of f along the path, by the first state, backward over its steps."""
        first, second = [F(0)] * self.S, [F(0)] * self.S
        for w in reversed(list(weights)):
            ahead, square = self.after(first), self.after(second)
            own = [w * x for x in self.f]
            second = [x * x + 2 * x * y + z for x, y, z in zip(own, ahead, square, strict=True)]
            first = [x + y for x, y in zip(own, ahead, strict=True)]
        return second

    def slope(self) -> list[Fraction]:
        """Derivatives of the gain by each probability of the policy, the others held.

        Gain and relative values solve one linear system, of which a probability enters one equation: along it the
        determinants of Cramer's rule are affine, so that differences are derivatives.
        """
        far = F(-1, 16)

        def parts(pi: Sequence[Fraction]) -> tuple[Fraction, Fraction]:
            P, h = self.matrix(pi), self.judge.exact_mean(pi, self.judge.r_exact)
            rest = [[F(int(s == t)) - P[s][t] for t in range(1, self.S)] for s in range(self.S)]
            ones = [[sum((pi[k] for k in pairs), F(0))] for pairs in self.judge.pairs]
            return det([a + b for a, b in zip(ones, rest, strict=True)]), det(
                [[x, *b] for x, b in zip(h, rest, strict=True)]
            )

        def det(rows: Matrix) -> Fraction:
            # Bareiss would do as well; the determinant of rationals by elimination.
            M, out = [list(row) for row in rows], F(1)
            for i in range(len(M)):
                place = next((j for j in range(i, len(M)) if M[j][i]), None)
                if place is None:
                    return F(0)
                if place != i:
                    M[i], M[place], out = M[place], M[i], -out
                out *= M[i][i]
                for j in range(i + 1, len(M)):
                    q = M[j][i] / M[i][i]
                    M[j] = [x - q * y for x, y in zip(M[j], M[i], strict=True)]
            return out

        D, N = parts(self.pi)
        out: list[Fraction] = []
        for k in range(self.judge.L):
            moved = list(self.pi)
            moved[k] += far
            D_moved, N_moved = parts(moved)
            out.append(((N_moved - N) * D - N * (D_moved - D)) / (far * D * D))
        return out


def seen(mdp: MDP, chain: Chain) -> tuple[Any, Any]:
    """The chain and its rewards as the code under test has them."""
    problem, _ = pose(mdp, None, "rational")
    on = OnPolicy(problem)
    pi = array(chain.pi)
    return call(occupancy.induced, on.P, on.gamma, pi, on.pair_ptr), call(on.mean, pi, on.r)


def signs(n: int) -> list[Fraction]:
    """The judge's weights: the first sample, less the first half, and the second half."""
    if n == 1:
        return [F(1)]
    return [F(int(i == 0) + (1 if i >= n // 2 else -1)) for i in range(n)]


# -- other estimators, for controls ----------------------------------------------------------------------------------


def halved(n: int, one: Any = ONE) -> Any:
    """With the coefficient 2^(J-1), that of a geometric law that begins at zero."""
    first = array([one] + [one * 0] * (n - 1))
    return first if n == 1 else (multilevel.weights(n, one) + first) / 2


def fresh(n: int, one: Any = ONE) -> Any:
    """With the shorter average taken over the last samples of the path and not over the first."""
    first = array([one] + [one * 0] * (n - 1))
    return first if n == 1 else first + array([one] * (n // 2) + [-one] * (n // 2))


def squared(n: int, one: Any = ONE) -> Any:
    """With the difference multiplied by 4^J."""
    first = array([one] + [one * 0] * (n - 1))
    return first if n == 1 else first + n * (multilevel.weights(n, one) - first)


# -- the estimator ---------------------------------------------------------------------------------------------------


def the_estimator(most: int, weights: Weights) -> Iterator[Row]:
    """Levels, lengths and weights as the judge has them."""
    bits = most + 3
    drawn = [call(multilevel.level, (i + 0.5) / 2**bits) for i in range(2**bits)]
    for j in range(1, bits + 1):
        yield equal(F(drawn.count(j), 2**bits), F(1, 2**j), f"probability of level {j}")
        n = call(multilevel.length, j, most)
        yield equal(n, 2**j if j <= most else 1, f"length of level {j}")
    for j in range(most + 1):
        yield all_equal(call(weights, 2**j, F(1)), signs(2**j), f"weights of {2**j} samples")


@claim(
    "mac:multi-level",
    says=r"\mathbb{E}\bigl[g^0 + 2^J (g^J - g^{J-1})\, 1\{2^J \le T_{\max}\}\bigr] = \mathbb{E}\, g^{j_{\max}}, \qquad "
    r"\mathbb{E}[\text{samples}] = j_{\max} + 2^{-j_{\max}}",
    where="the estimator of Section 3, recalled; both identities derived, see docs",
    kind="identity",
    mode="exact",
    instances=chains,
    controls=[
        mutant("the coefficient 2^(J-1)", weights=halved),
        mutant("the shorter average over the last samples", weights=fresh),
        mutant("samples of a path that is never cut", cut=False),
    ],
    about=[MultiLevelActorCritic],
)
def multi_level(mdp: Any, *, most: int = 4, weights: Weights = multilevel.weights, cut: bool = True) -> Iterator[Row]:
    """Probability and coefficient of each level cancel: the mean is that of the longest average."""
    chain = Chain(mdp)
    P, h = seen(mdp, chain)
    along = chain.powers(chain.h, 2**most)
    means = [[sum(x[s] for x in along[: 2**j]) / 2**j for s in range(chain.S)] for j in range(most + 1)]
    own = call(multilevel.averages, P, h, most)
    for j in range(most + 1):
        yield all_equal(own[j], means[j], f"mean of g^{j}")
        drawn = call(multilevel.averages, P, h, j)
        yield all_equal(call(multilevel.expectation, drawn, F(1)), means[j], f"mean of the estimate, j_max={j}")
        # The same from the weights: each level's weighted sum, averaged over the path and over the level.
        total = [F(0)] * chain.S
        for i in range(1, j + 1):
            w = call(weights, call(multilevel.length, i, j), F(1))
            part = [sum((F(x) * v[s] for x, v in zip(w, along, strict=False)), F(0)) for s in range(chain.S)]
            total = [x + F(1, 2**i) * y for x, y in zip(total, part, strict=True)]
        single = call(weights, call(multilevel.length, j + 1, j), F(1))
        total = [x + F(1, 2**j) * F(single[0]) * y for x, y in zip(total, along[0], strict=True)]
        yield all_equal(total, means[j], f"mean from the weights, j_max={j}")
        count = sum((F(1, 2**i) * 2**i for i in range(1, j + 1)), F(0)) + F(1, 2**j) * (1 if cut else 2 ** (j + 1))
        yield equal(call(multilevel.expected_length, j, F(1)), count, f"samples, j_max={j}")
    yield from the_estimator(most, weights)


@claim(
    "mac:bias",
    says=r"\nu\, \mathbb{E}\, g - \mu h = \tfrac1n\, \nu (I - P^n)(I - P + 1\mu)^{-1} (h - \mu h), \qquad "
    r"|\nu\, \mathbb{E}\, g - \mu h| \le \tfrac1n \operatorname{span}(b), \quad n = 2^{j_{\max}}, "
    r"b = (I - P + 1\mu)^{-1}(h - \mu h)",
    where="derived, see docs; in the paper's analysis the second moment bounds it, recalled",
    kind="rate",
    mode="exact",
    instances=chosen([SLOW, FAST]),
    rate=Rate(-1.0, "exactly", 0.05),
    controls=[
        mutant("the bias of a single sample", single=True),
        mutant("one power less", less=1),
        mutant("the coefficient 2^(J-1)", weights=halved),
    ],
    about=[MultiLevelActorCritic],
    domain="n beyond the mixing time for the slope; the identity for every n",
)
def bias(
    mdp: Any, *, most: int = 10, single: bool = False, less: int = 0, weights: Weights = multilevel.weights
) -> Iterator[Row]:
    """The bias of the estimate falls like the inverse of the longest length, whatever the start."""
    chain = Chain(mdp)
    P, h = seen(mdp, chain)
    means = call(multilevel.averages, P, h, most)
    yield from the_estimator(4, weights)
    along = chain.powers(chain.bias, 2**most)
    for j in range(most + 1):
        n: int = 2**j
        g = call(multilevel.expectation, means[: j + 1], F(1))
        off = [x - chain.gain for x in g]
        if single:
            off = list(chain.f)
        formula = [(x - y) / n for x, y in zip(chain.bias, along[n - less], strict=True)]
        yield all_equal(off, formula, f"bias, n={n}")
        yield leq(sup(off), span(chain.bias) / n, f"n={n}", k=n)
    for j in range(6, most + 1):
        g = call(multilevel.expectation, means[: j + 1], F(1))
        n: int = 2**j
        yield equal(n * abs(g[0] - chain.gain), abs(chain.bias[0] - along[n - less][0]), f"n times the bias, n={n}")
        yield point(n, abs(chain.f[0]) if single else abs(g[0] - chain.gain), f"n={n}")


@claim(
    "mac:second-moment",
    says=r"\mathbb{E} (g - \mu h)^2 \le 2\|f\|^2 + 2 \operatorname{span}(b)\, \|f\|\, (12\, j_{\max} + 15), \qquad "
    r"f = h - \mu h,\; b = (I - P + 1\mu)^{-1} f",
    where="derived with these constants, see docs; the paper has O(tau_mix log T_max), recalled",
    kind="upper",
    mode="exact",
    instances=chains,
    controls=[
        mutant("no term for the levels", levels=False),
        mutant("the difference multiplied by 4^J", weights=squared),
        mutant("the coefficient 2^(J-1)", weights=halved),
    ],
    about=[MultiLevelActorCritic],
)
def second_moment(
    mdp: Any, *, most: int = 8, levels: bool = True, weights: Weights = multilevel.weights
) -> Iterator[Row]:
    """The second moment grows with the number of levels, not with the length."""
    chain = Chain(mdp)
    P, h = seen(mdp, chain)
    yield all_equal(np.asarray(P).ravel(), [x for row in chain.P for x in row], "P")
    yield all_equal(h, chain.h, "h")
    yield from the_estimator(4, weights)
    size, b = sup(chain.f), span(chain.bias)
    parts = [chain.moment([F(x) for x in call(weights, 2**j, F(1))]) for j in range(1, most + 1)]
    for m in range(1, most + 1):
        total = [F(1, 2**m) * x * x for x in chain.f]
        for j in range(1, m + 1):
            total = [x + F(1, 2**j) * y for x, y in zip(total, parts[j - 1], strict=True)]
        bound = 2 * size**2 + 2 * b * size * (12 * m + 15) if levels else 2 * size**2
        yield leq(max(total), bound, f"j_max={m}", k=m)


# -- the actor-critic ------------------------------------------------------------------------------------------------


MAC = MultiLevelActorCritic(
    eta=F(1, 2), alpha=F(1, 3), beta=F(1, 4), power=F(1, 2), longest=8, radius=F(1, 16), features="minimal"
)


class Unprojected(MultiLevelActorCritic):
    """A critic that no ball keeps."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """As without a radius."""
        from dataclasses import replace

        free = replace(self, radius=None)
        return MultiLevelActorCritic.step(free, problem, state, rng)


class Behind(MultiLevelActorCritic):
    """Steps that are scaled without the newest direction's square."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The step with the length of the one before."""
        new = MultiLevelActorCritic.step(self, problem, state, rng)
        if state.square == 0:
            return new
        theta = state.theta + (new.theta - state.theta) * np.sqrt(new.square / state.square)
        return new._replace(theta=theta, log_pi=self.policies(problem).log_pi(theta))


class Backward(MultiLevelActorCritic):
    """Temporal differences whose states are exchanged."""

    @staticmethod
    def directions(policies: Any, phi: Any, pi: Any, gain: Any, w: Any, pairs: Any, after: Any, weights: Any) -> Any:
        """With the critic's sign turned."""
        return MultiLevelActorCritic.directions(policies, phi, pi, gain, -w, pairs, after, weights)


def the_run(mdp: Any, solver: MultiLevelActorCritic, seed: int, tested: Any = None, n: int = 5) -> Iterator[Row]:
    """The solver's start and steps, followed by the judge with the same random numbers."""
    judge = Judge(mdp.under(Discounted(F(1, 2))))
    episodes = Episodes(judge, 1, solver.features)
    rng, own = np.random.default_rng(seed), np.random.default_rng(seed)
    theta: list[Any] = [ball(0)] * episodes.dim
    w, gain, square, draws = [ball(0)] * judge.S, ball(0), ball(0), 0
    pi = episodes.policy(theta)
    s = episodes.first(range(judge.S), judge.rho, own.random())
    for k, state in enumerate(iterates(mdp, tested or solver, n, rng=rng)):
        yield all_equal(state.theta, theta, f"theta_{k}")
        yield all_equal(state.w, w, f"w_{k}")
        yield equal(state.gain, gain, f"gain_{k}")
        yield equal(state.square, square, f"sum of squares_{k}")
        yield equal(state.s, s, f"state_{k}")
        yield equal(state.draws, draws, f"draws_{k}")
        yield all_equal(state.log_pi, [log(x) for x in pi], f"log pi_{k}")
        theta, w, gain, square = [ball(x) for x in state.theta], [ball(x) for x in state.w], state.gain, state.square
        score = episodes.score(pi)
        u, level = own.random(), 1
        while u >= 1 - 0.5**level:
            level += 1
        n_path = 2**level if 2**level <= solver.longest else 1
        draws += n_path
        # The three directions sample by sample, and then the definition's averages.
        samples: list[list[Any]] = []
        for x, y in own.random((n_path, 2)).tolist():
            pair = episodes.first(judge.pairs[s], pi, x)
            after = episodes.first(range(judge.S), judge.P[pair], y)
            delta = judge.r[pair] - gain + w[after] - w[s]
            at = [delta if t == s else ball(0) for t in range(judge.S)]
            samples.append([judge.r[pair] - gain, *at, *(delta * x for x in score[pair])])
            s = after

        def average(m: int, samples: list[list[Any]] = samples) -> list[Any]:
            return [sum((row[i] for row in samples[:m]), ball(0)) / m for i in range(len(samples[0]))]

        g = average(1)
        if n_path > 1:
            full, half = average(n_path), average(n_path // 2)
            g = [x + n_path * (y - z) for x, y, z in zip(g, full, half, strict=True)]
        fall = ball((1.0 + k) ** 0.5)
        gain_step, critic_step = ball(solver.beta) / fall, ball(solver.alpha) / fall
        gain = gain + gain_step * g[0]
        w = [x + critic_step * y for x, y in zip(w, g[1 : 1 + judge.S], strict=True)]
        norm, radius = dot(w, w).sqrt(), ball(solver.radius)
        if bool(norm > radius):
            w = [radius * x / norm for x in w]
        elif not bool(norm <= radius):
            raise PrecisionError("the critic's norm cannot be told from the radius", needed="more bits")
        moves = g[1 + judge.S :]
        square = square + dot(moves, moves)
        if not bool(square == 0):
            theta = [x + ball(solver.eta) / square.sqrt() * y for x, y in zip(theta, moves, strict=True)]
        pi = episodes.policy(theta)


@claim(
    "mac:directions",
    says=r"\mathbb{E}_{\mu\pi P}[r - \eta] = g^\pi - \eta, \qquad "
    r"\mathbb{E}[\delta\phi] = \Phi^\top D_\mu (r_\pi - \eta + (P_\pi - I)\Phi w), \qquad "
    r"\mathbb{E}[\delta \nabla\log\pi] = \nabla g^\pi \text{ where } \Phi w = b^\pi + c",
    where="the targets of Algorithm 1, recalled; derived from Poisson's equation, see docs",
    kind="identity",
    mode="numeric",
    instances=models,
    controls=[
        mutant("no projection of the critic", tested=recast(MAC, Unprojected)),
        mutant("the newest square left out of the step size", tested=recast(MAC, Behind)),
        mutant("the temporal difference backward", tested=recast(MAC, Backward)),
        mutant("states weighted by the initial law", settled=False),
    ],
    about=[MultiLevelActorCritic],
    caveat="Says where the mean directions vanish, not that the iteration comes there.",
)
def directions(mdp: Any, *, rng: Any, tested: Any = None, settled: bool = True) -> Iterator[Row]:
    """The steps; and in the long run the mean directions, which vanish at gain, bias and stationary policies."""
    yield from the_run(mdp, MAC, int(rng.integers(2**32)), tested)
    chain, code = Chain(mdp), (tested or MAC).directions
    judge = chain.judge
    problem, _ = pose(mdp, None, "rational")
    policies = call(LogLinear, OnPolicy(problem))
    pi = array(chain.pi)
    law = chain.law if settled else judge.rho_exact
    places = [(k, t) for k in range(judge.L) for t in range(judge.S)]
    P = call(np.asarray, policies.on.P.dense)
    weights = array([F(law[judge.state[k]] * chain.pi[k] * F(P[k, t])) for k, t in places])
    pairs, after = np.array([k for k, _ in places]), np.array([t for _, t in places])

    def mean(phi: Matrix, gain: Fraction, w: Sequence[Fraction]) -> Any:
        rows = np.array(phi, dtype=object)
        return call(code, policies, rows, pi, gain, array(w), pairs, after, weights)

    def expected(phi: Matrix, gain: Fraction, w: Sequence[Fraction]) -> tuple[list[Fraction], list[Fraction]]:
        V = [sum((x * y for x, y in zip(row, w, strict=True)), F(0)) for row in phi]
        delta = [
            judge.r_exact[k]
            - gain
            - V[judge.state[k]]
            + sum((p * v for p, v in zip(judge.P_exact[k], V, strict=True)), F(0))
            for k in range(judge.L)
        ]
        by_state = judge.exact_mean(chain.pi, delta)
        actor = [chain.law[s] * chain.pi[k] * (delta[k] - by_state[s]) for k, s in enumerate(judge.state)]
        critic = [sum((chain.law[s] * by_state[s] * phi[s][i] for s in range(judge.S)), F(0)) for i in range(len(w))]
        return critic, actor

    eye = [[F(int(s == t)) for t in range(judge.S)] for s in range(judge.S)]
    narrow = [[F(s + 1, 2)] for s in range(judge.S)]
    for name, phi, gain, w in (
        ("any critic", eye, F(1, 3), [F(3 * s - 1, 5) for s in range(judge.S)]),
        ("one feature", narrow, F(-1, 7), [F(2, 3)]),
    ):
        g = mean(phi, gain, w)
        critic, actor = expected(phi, gain, w)
        yield equal(g.gain, chain.gain - gain, f"gain, {name}")
        yield all_equal(g.w, critic, f"critic, {name}")
        yield all_equal(g.theta, actor, f"actor, {name}")
    g = mean(eye, chain.gain, [x + F(5, 3) for x in chain.bias])
    slope = chain.slope()
    by_state = judge.exact_mean(chain.pi, slope)
    gradient = [chain.pi[k] * (slope[k] - by_state[s]) for k, s in enumerate(judge.state)]
    yield equal(g.gain, F(0), "the gain rests")
    yield all_equal(g.w, [F(0)] * judge.S, "the critic rests at the bias")
    yield all_equal(g.theta, gradient, "the actor follows the gradient of the gain")
    yield fact(any(gradient), "which is not zero")
    # The fixed point of a critic with one feature: its direction is affine in the weight.
    zero, one = expected(narrow, chain.gain, [F(0)])[0][0], expected(narrow, chain.gain, [F(1)])[0][0]
    g = mean(narrow, chain.gain, [zero / (zero - one)])
    yield all_equal(g.w, [F(0)], "the narrow critic rests at its fixed point")


@claim(
    "mac:sampled",
    says=r"\tfrac1N \sum_{i \le N} g_i[r] \approx \mathbb{E}\, g^{j_{\max}}, \qquad "
    r"\tfrac1N \sum_{i \le N} T_i \approx j_{\max} + 2^{-j_{\max}} \quad (\text{at level } 1 - \delta)",
    where="the estimator of Section 3, recalled, drawn as the solver draws it",
    kind="identity",
    mode="statistical",
    instances=chosen([FAST]),
    delta=1e-3,
    controls=[
        mutant("the coefficient 2^(J-1)", weights=halved),
        mutant("the shorter average over the last samples", weights=fresh),
        mutant("levels one too high", shift=1),
    ],
    about=[MultiLevelActorCritic],
)
def sampled(
    mdp: Any,
    *,
    rng: Any,
    delta: float,
    weights: Weights = multilevel.weights,
    shift: int = 0,
    most: int = 3,
    times: int = 2500,
) -> Iterator[Row]:
    """Drawn estimates have the mean that enumeration gives, and draw as many transitions."""
    chain = Chain(mdp)
    problem, _ = pose(mdp)
    policies = call(MAC.policies, problem)
    pi = np.array([float(x) for x in chain.pi])
    estimates, counts = np.empty(times), np.empty(times)
    phi, still = np.eye(chain.S), np.zeros(chain.S)
    for i in range(times):
        n = call(multilevel.length, call(multilevel.level, rng.random()) + shift, most)
        path = call(policies.follow, pi, 0, rng.random((n, 2)))
        w = np.asarray(call(weights, n, 1.0), dtype=float)
        g = call(MAC.directions, policies, phi, pi, 0.0, still, path.pairs[0], path.states[0, 1:], w)
        estimates[i], counts[i] = g.gain, n
    along = chain.powers(chain.h, 2**most)
    mean = sum(x[0] for x in along[: 2**most]) / 2**most
    half = 2 ** (most - 1)  # rewards are in [0, 1]: the first one, and half of the path with either sign
    yield equal(bounded_mean(estimates, -half, 1 + half, delta / 2), mean, "mean of the estimates", resolution=1.0)
    yield equal(bounded_mean(counts, 1, 2**most, delta / 2), most + F(1, 2**most), "samples", resolution=1.0)
