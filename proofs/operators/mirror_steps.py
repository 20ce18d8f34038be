r"""The regularized greedy step and its conjugate: with symbols, and in balls through the library's softmax functions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.claims import Case, Row, all_equal, equal, fact, leq, mutant
from mdpkit.claims.cases import once
from mdpkit.claims.claim import claim
from mdpkit.claims.judge import ball, balls, exp, log, log_sum_exp
from mdpkit.claims.trial import call
from mdpkit.kernels import softmax

F = Fraction


@claim(
    "beck2003:kl-step",
    says=r"\langle \pi, q \rangle - \tfrac1\eta \mathrm{KL}(\pi\|\pi_k) - \tau\,\mathrm{KL}(\pi\|\mu) = "
    r"\bigl(\tfrac1\eta + \tau\bigr)\bigl(\log Z - \mathrm{KL}(\pi\|\pi^+)\bigr),\quad "
    r"\pi^+ = \tfrac1Z \pi_k^{\frac{1}{1+\eta\tau}} \mu^{\frac{\eta\tau}{1+\eta\tau}} e^{\frac{\eta}{1+\eta\tau} q}",
    where="mirror descent with entropy (recalled); proved here. Run in balls: beck2003:kl-step-balls",
    kind="identity",
    mode="symbolic",
    instances=once(),
    domain="every number of actions: term by term, for each action; with the sums written out for 2 and 3 actions",
    controls=[
        mutant("the reference with exponent tau for eta tau/(1 + eta tau)", reference="tau"),
        mutant("step eta for eta/(1 + eta tau)", step="eta"),
        mutant("the arguments of the divergence swapped", swapped=True),
        mutant("1/eta for 1/eta + tau", scale="eta"),
    ],
)
def kl_step(
    _: Any, *, reference: str = "right", step: str = "right", swapped: bool = False, scale: str = "right"
) -> Iterator[Row]:
    """The step regularized by two divergences is a weighted geometric mean, and what is lost elsewhere is a divergence."""
    import sympy

    eta, tau = sympy.symbols("eta tau", positive=True)
    logZ = sympy.Symbol("logZ", real=True)

    def best(log_old: Any, log_ref: Any, q: Any) -> Any:
        part = tau if reference == "tau" else eta * tau / (1 + eta * tau)
        size = eta if step == "eta" else eta / (1 + eta * tau)
        return log_old / (1 + eta * tau) + part * log_ref + size * q - logZ

    weight = 1 / eta if scale == "eta" else 1 / eta + tau
    # One action: pi times its terms, with the divergence's term pi log(pi/pi+); the sum of pi times log Z is log Z.
    pi, q, old, ref, log_pi = sympy.symbols("pi q log_old log_ref log_pi", real=True)
    new = best(old, ref, q)
    left = pi * (q - (log_pi - old) / eta - tau * (log_pi - ref))
    lost = pi * (log_pi - new) if not swapped else sympy.exp(new) * (new - log_pi)
    right = weight * (pi * logZ - lost)
    yield fact(sympy.simplify(sympy.expand(left - right)) == 0, "term by term")
    # Stationarity: the derivative of the objective along each action is the same at pi+.
    b = sympy.symbols("q_b old_b ref_b", real=True)
    slope = q - (new - old) / eta - tau * (new - ref)
    other_new = best(b[1], b[2], b[0])
    other = b[0] - (other_new - b[1]) / eta - tau * (other_new - b[2])
    yield fact(sympy.simplify(slope - other) == 0, "stationary on the simplex")
    # Concavity: second derivatives -(1/eta + tau)/pi.
    p = sympy.Symbol("p", positive=True)
    objective = p * q - p * (sympy.log(p) - old) / eta - tau * p * (sympy.log(p) - ref)
    yield fact(sympy.simplify(sympy.diff(objective, p, 2) + weight / p) == 0, "concave")


@claim(
    "geist2019:log-sum-exp-conjugate",
    says=r"\max_\pi \langle \pi, q \rangle + \tau H(\pi) = \tau \log \sum_a e^{q_a/\tau} =: \Omega^*(q),\quad "
    r"\nabla \Omega^*(q) = \mathrm{softmax}(q/\tau),\quad \sup_q \langle \pi, q \rangle - \Omega^*(q) = -\tau H(\pi)",
    where="Legendre-Fenchel transform of the negative entropy (Proposition 1, recalled); proved here. Run in balls: "
    "geist2019:log-sum-exp-balls",
    kind="identity",
    mode="symbolic",
    instances=once(),
    domain="the value for every number of actions, term by term; gradient, curvature and the conjugate's conjugate for 3",
    controls=[
        mutant("softmax of q", temperature=False),
        mutant("log-sum-exp without the factor tau", scaled=False),
        mutant("the entropy with the opposite sign", sign=-1),
    ],
)
def log_sum_exp_conjugate(_: Any, *, temperature: bool = True, scaled: bool = True, sign: int = 1) -> Iterator[Row]:
    """Log-sum-exp is the conjugate of the negative entropy, its gradient the softmax."""
    import sympy

    tau = sympy.Symbol("tau", positive=True)
    # Term by term: pi (q - tau log pi) = pi Omega - tau pi log(pi / softmax), log softmax = q/tau - Omega/tau.
    pi, q, log_pi, omega = sympy.symbols("pi q log_pi Omega", real=True)
    log_soft = (q / tau if temperature else q) - omega / tau
    left = pi * (q - sign * tau * log_pi)
    yield fact(sympy.expand(left - (pi * omega - tau * pi * (log_pi - log_soft))) == 0, "term by term")
    # Three actions.
    qs = sympy.symbols("q0:3", real=True)
    Z = sum(sympy.exp(x / tau) for x in qs)
    value = (tau if scaled else 1) * sympy.log(Z)
    soft = [sympy.exp(x / tau) / Z for x in qs] if temperature else [sympy.exp(x) / sum(map(sympy.exp, qs)) for x in qs]
    for a in range(3):
        yield fact(sympy.simplify(sympy.diff(value, qs[a]) - soft[a]) == 0, f"gradient, action {a}")
        for b in range(3):
            second = soft[a] * (int(a == b) - soft[b]) / tau
            yield fact(sympy.simplify(sympy.diff(soft[a], qs[b]) - second) == 0, f"curvature, actions {a}, {b}")
    # At q = tau log pi the conjugate's conjugate is attained: there the softmax is pi.
    p, r = sympy.symbols("p r", positive=True)
    policy = [p, r, 1 - p - r]
    at = dict(zip(qs, [tau * sympy.log(x) for x in policy], strict=True))
    attained = sum(x * at[y] for x, y in zip(policy, qs, strict=True)) - value.subs(at)
    entropy = -sum(x * sympy.log(x) for x in policy)
    yield fact(sympy.simplify(attained + sign * tau * entropy) == 0, "the conjugate's conjugate")


# -- the same in balls, through the library ----------------------------------------------------------------------------


POINTER = np.array([0, 2, 5, 6])


def vectors(level: Any, rng: Any) -> Iterator[Case]:
    """Rational action values, policies and temperatures of three states with two, three and one action."""
    for i in range(4 if level == "fast" else 20):
        q = [F(int(x), 100) for x in rng.integers(-300, 300, 6)]
        laws = []
        for _ in range(3):
            raw = [int(x) for x in rng.integers(1, 50, 6)]
            laws.append([F(raw[k], sum(raw[a:b])) for a, b in itertools.pairwise(POINTER) for k in range(a, b)])
        eta, tau = F(int(rng.integers(1, 40)), 10), F(int(rng.integers(1, 40)), 20)
        yield Case(f"vectors {i}: eta={eta}, tau={tau}", (q, *laws, eta, tau))


def states() -> list[range]:
    """The pairs of each state."""
    return [range(int(a), int(b)) for a, b in itertools.pairwise(POINTER)]


@claim(
    "beck2003:kl-step-balls",
    says=r"\langle \pi, q \rangle - \tfrac1\eta \mathrm{KL}(\pi\|\pi_k) - \tau\,\mathrm{KL}(\pi\|\mu) + "
    r"\bigl(\tfrac1\eta + \tau\bigr) \mathrm{KL}(\pi\|\pi^+) \text{ is the same for all } \pi",
    where="mirror descent with entropy (recalled); proved by beck2003:kl-step",
    kind="identity",
    mode="numeric",
    instances=vectors,
    controls=[
        mutant("the divergence from the step to the policy", swapped=True),
        mutant("1/eta for 1/eta + tau", scale=False),
        mutant("no reference", reference=False),
        mutant("the entropy for the divergence from the reference", uniform=True),
    ],
    caveat="what is tested is softmax.mirror_step and softmax.relative_entropy",
)
def kl_step_balls(
    data: Any, *, swapped: bool = False, scale: bool = True, reference: bool = True, uniform: bool = False
) -> Iterator[Row]:
    """The library's mirror step attains the regularized maximum: what another policy loses is its divergence from it."""
    q, pi, old, ref, eta, tau = data
    log_old, log_ref = balls([log(x) for x in old]), balls([log(x) for x in ref])
    e, t = ball(eta), ball(tau)
    new = call(softmax.mirror_step, log_old, balls(q), e, POINTER, t, log_ref)
    if uniform:
        log_ref = balls([log(F(1, len(pairs))) for pairs in states() for _ in pairs])
    weight = 1 / e + t if scale else 1 / e
    t_ref = t if reference else ball(0)

    def objective(p: Any, log_p: Any, s: range) -> Any:
        return sum(
            (ball(p[k]) * (ball(q[k]) - (log_p[k] - log_old[k]) / e - t_ref * (log_p[k] - log_ref[k])) for k in s),
            ball(0),
        )

    probabilities = [exp(x) for x in new]
    log_pi = balls([log(x) for x in pi])
    for name, p, log_p in (("another policy", pi, log_pi), ("the old policy", old, log_old)):
        found = call(softmax.relative_entropy, balls(p), log_p, new, POINTER)
        for s, pairs in enumerate(states()):
            yield equal(sum((probabilities[k] for k in pairs), ball(0)), 1, f"state {s}: sum")
            lost = sum((ball(p[k]) * (log_p[k] - new[k]) for k in pairs), ball(0))
            if not swapped:
                yield equal(found[s], lost, f"state {s}: divergence of {name}")
            else:
                lost = sum((probabilities[k] * (new[k] - log_p[k]) for k in pairs), ball(0))
            yield equal(
                objective(probabilities, new, pairs), objective(p, log_p, pairs) + weight * lost, f"state {s}: {name}"
            )


@claim(
    "geist2019:log-sum-exp-balls",
    says=r"\tau\log\sum_a e^{q_a/\tau} = \langle \pi, q \rangle + \tau H(\pi) "
    r"+ \tau\, \mathrm{KL}(\pi\|\mathrm{softmax}(q/\tau)),\quad \nabla = \mathrm{softmax}(q/\tau),\quad "
    r"\max q \le \Omega^*(q) \le \max q + \tau\log|A|",
    where="Proposition 1 (recalled); proved by geist2019:log-sum-exp-conjugate",
    kind="identity",
    mode="numeric",
    instances=vectors,
    controls=[
        mutant("softmax of q", temperature=False),
        mutant("the entropy with the opposite sign", sign=-1),
        mutant("the divergence from the uniform policy", uniform=True),
        mutant("with the reference's logarithm left out", reference=False),
    ],
    caveat="what is tested is softmax.soft_maximum, log_softmax, log_sum_exp and entropy",
)
def log_sum_exp_balls(
    data: Any, *, temperature: bool = True, sign: int = 1, uniform: bool = False, reference: bool = True
) -> Iterator[Row]:
    """The library's soft maximum is the conjugate of the negative entropy, and its softmax the gradient."""
    flint: Any = import_module("flint")
    q, pi, old, _, _, tau = data
    t = ball(tau)
    soft = call(softmax.soft_maximum, balls(q), t, POINTER)
    log_old = balls([log(x) for x in old])
    with_reference = call(softmax.soft_maximum, balls(q), t, POINTER, log_old if reference else None)
    log_best = call(softmax.log_softmax, balls(q) / t if temperature else balls(q), POINTER)
    log_pi = balls([log(x) for x in pi])
    entropy = call(softmax.entropy, balls(pi), log_pi, POINTER)
    sums = call(softmax.log_sum_exp, balls(q), POINTER)
    for s, pairs in enumerate(states()):
        mean = sum((ball(pi[k]) * ball(q[k]) for k in pairs), ball(0))
        base = [log(F(1, len(pairs)))] * len(q) if uniform else log_best
        lost = sum((ball(pi[k]) * (log_pi[k] - base[k]) for k in pairs), ball(0))
        yield equal(soft[s], mean + sign * t * entropy[s] + t * lost, f"state {s}: value")
        plain = -sum((ball(pi[k]) * log_pi[k] for k in pairs), ball(0))
        yield equal(entropy[s], plain, f"state {s}: entropy")
        yield equal(sums[s], log_sum_exp([q[k] for k in pairs]), f"state {s}: log-sum-exp")
        against = [ball(q[k]) / t + log_old[k] for k in pairs]
        yield equal(with_reference[s], t * log_sum_exp(against), f"state {s}: with a reference")
        top = max(q[k] for k in pairs)
        yield (
            leq(ball(top), soft[s], f"state {s}: at least the maximum") if len(pairs) > 1 else equal(soft[s], ball(top))
        )
        if len(pairs) > 1:
            yield leq(soft[s], ball(top) + t * log(len(pairs)), f"state {s}: at most log|A| more")
        # The gradient by power series of the definition.
        slopes = []
        for k in pairs:
            total = None
            for j in pairs:
                x = flint.arb_series([ball(q[j]) / t, 1 / t if j == k else 0], 2).exp()
                total = x if total is None else total + x
            slopes.append(ball((t * total.log())[1]))
        yield all_equal([exp(log_best[k]) for k in pairs], slopes, f"state {s}: gradient")
