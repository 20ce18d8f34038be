r"""Claims about optimal designs: the equivalence theorem, the steps of the search, and the pruned support.

Leverages and determinants are recomputed here by the judge's own elimination; sets of vectors are small and rational, so that
everything but the search in floats is exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Case, Row, all_equal, all_leq, claim, equal, fact, leq, mutant
from mdpkit.claims.claim import Level
from mdpkit.claims.exact import solve
from mdpkit.claims.trial import call
from mdpkit.kernels import design
from mdpkit.operators.optimal_design import OptimalDesign

F = Fraction
ZERO, ONE = F(0), F(1)
Vectors = list[list[Fraction]]


def gram(X: Vectors, w: Sequence[Fraction]) -> Vectors:
    """The information matrix, by the judge's own sums."""
    d = range(len(X[0]))
    return [[sum((u * x[i] * x[j] for u, x in zip(w, X, strict=True)), ZERO) for j in d] for i in d]


def leverages(X: Vectors, G: Vectors, Y: Vectors | None = None) -> list[Fraction]:
    """x' G^-1 y of each row, y = x unless others are given."""
    solved = solve(G, *X)
    return [
        sum((a * b for a, b in zip(x, z, strict=True)), ZERO)
        for x, z in zip(X if Y is None else Y, solved, strict=True)
    ]


def det(A: Vectors) -> Fraction:
    """The determinant, by expansion along the first row: of small matrices."""
    if len(A) == 1:
        return A[0][0]
    minors = ([row[:j] + row[j + 1 :] for row in A[1:]] for j in range(len(A)))
    return sum(((-1) ** j * A[0][j] * det(minor) for j, minor in enumerate(minors)), ZERO)


def array(X: Any) -> Any:
    """Rationals as the object array that kernels take."""
    rows = np.empty(np.shape(X), dtype=object)
    rows[...] = X
    return rows


def rows(name: str, X: Any, w: Any = None) -> Case:
    """A case: vectors, and the weights of their best design where it has a closed form."""
    return Case(name, ([[F(x) for x in row] for row in X], None if w is None else [F(x) for x in w]))


def known() -> list[Case]:
    """Sets whose best design is known: by symmetry, or (of polynomials) as a classical result that the check confirms."""
    corners = [[int(i == j) for j in range(3)] for i in range(3)]
    inside = [["1/2", "1/4", "1/4"], ["1/3", "1/3", "1/3"]]
    square = [[1, a, b] for a in (-1, 1) for b in (-1, 1)]
    points = [F(k, 2) for k in range(-2, 3)]
    third = ["1/3"] * 3
    return [
        rows("the simplex", corners + inside, [*third, 0, 0]),
        rows("the square, with a constant", square, ["1/4"] * 4),
        rows("a line, with a constant", [[1, x] for x in points], ["1/2", 0, 0, 0, "1/2"]),
        rows("quadratics on five points", [[1, x, x * x] for x in points], ["1/3", 0, "1/3", 0, "1/3"]),
    ]


def drawn(n: int, rng: Any) -> list[Case]:
    """Random integer vectors."""
    out: list[Case] = []
    while len(out) < n:
        seed = int(rng.integers(0, 10_000))
        d, m = 2 + len(out) % 2, 6 + len(out) % 3
        X = np.random.default_rng(seed).integers(-4, 5, size=(m, d))
        if np.linalg.matrix_rank(X) == d:
            out.append(rows(f"integers in [-4, 4], {m} x {d}, seed {seed}", X.tolist()))
    return out


def sets(level: Level, rng: Any) -> list[Case]:
    """Known designs, and random vectors."""
    return known() + drawn(2 if level == "fast" else 8, rng)


def laws(n: int, count: int) -> list[list[Fraction]]:
    """A few laws on n points, the uniform one first."""
    rng = np.random.default_rng(n)
    out = [[F(1, n)] * n]
    for _ in range(count):
        weights = [int(x) for x in rng.integers(1, 20, n)]
        out.append([F(w, sum(weights)) for w in weights])
    return out


@claim(
    "kiefer1960:equivalence",
    says=r"""\max_{w'} \det G(w') \le \bigl(g(w)/d\bigr)^d \det G(w), \quad g(w) = \max_i x_i^\top G(w)^{-1} x_i \ge d, \qquad
             g(w) = d \iff w \text{ maximizes } \det G""",
    where="the theorem, recalled; the inequality derived (arithmetic and geometric mean), see docs",
    kind="upper",
    mode="exact",
    instances=sets,
    controls=[
        mutant("a power of d - 1", power=-1),
        mutant("the value d - 1", value=-1),
        mutant("leverages of the matrix without weights", weighted=False),
        mutant("the mean leverage for the largest", mean=True),
    ],
)
def equivalence(
    problem: Any, *, power: int = 0, value: int = 0, weighted: bool = True, mean: bool = False
) -> Iterator[Row]:
    """D-optimal is G-optimal, with the value d; the largest leverage says how far both are; the search gets there."""
    X, best = problem
    d, n = len(X[0]), len(X)
    tried = laws(n, 3)
    found = call(OptimalDesign.of, array(X), eps=F(1, 1000))
    certificate = found.certificate()
    w = [F(x) for x in certificate.weights.tolist()]
    yield equal(sum(w), ONE, "the weights of the search sum to one")
    yield fact(min(w) >= 0, "they are weights")
    yield fact(certificate.verify(), "the certificate verifies in rationals")
    yield fact(certificate.verify("ball"), "and in balls")
    yield equal(certificate.largest(), max(leverages(X, gram(X, w))), "its leverage")
    yield leq(max(leverages(X, gram(X, w))), (d + value) * (1 + F(1, 1000)), "G-optimal up to eps")
    candidates = [*tried, w] if best is None else [*tried, w, best]
    dets = [det(gram(X, u)) for u in candidates]
    for i, u in enumerate(candidates):
        g = leverages(X, gram(X, u if weighted else [F(1)] * n))
        yield equal(
            sum((a * b for a, b in zip(u, leverages(X, gram(X, u)), strict=True)), ZERO), F(d), f"mean, design {i}"
        )
        top = sum(g, ZERO) / n if mean else max(g)
        yield leq(F(d + value), max(leverages(X, gram(X, u))), f"at least d, design {i}")
        for j, other in enumerate(dets):
            yield leq(
                other, (top / d) ** (d + power) * dets[i], f"determinants of {i} and {j}", k=i, series="determinants"
            )
    if best is not None:
        yield equal(max(leverages(X, gram(X, best))), F(d + value), "the known design attains d")
        yield fact(all(x < dets[-1] for x, u in zip(dets[:-2], tried, strict=True) if u != best), "and the determinant")


@claim(
    "atwood1973:line-search",
    says=r"""w_{k+1} = w_k + \alpha_k v_k, \quad
             v_k \in \{e_j - w_k,\; w_k - e_i,\; e_j - e_i\}, \quad \alpha_k = \arg\max_\alpha \det G(w_k + \alpha v_k)""",
    where="Fedorov's and Atwood's steps, and vertex exchange, recalled; step lengths derived, see docs",
    kind="identity",
    mode="exact",
    instances=sets,
    controls=[
        mutant("the step d - g for the line search", length="gap"),
        mutant("toward the smallest leverage", smallest=True),
        mutant("half of the step", length="half"),
    ],
    caveat="two steps of each rule: the digits of exact weights grow fast",
)
def line_search(problem: Any, *, length: str = "exact", smallest: bool = False, steps: int = 2) -> Iterator[Row]:
    """Each step goes to the largest determinant along its direction: a derivative of zero, or the end of the weights."""
    X, _ = problem
    d, n = len(X[0]), len(X)
    rules: tuple[design.Rule, ...] = ("forward", "away", "pairwise")
    for rule in rules:
        w = [F(x) for x in call(design.start, array(X)).tolist()]
        yield equal(sum(w), ONE, f"{rule}: a law to start from")
        yield fact(sorted(set(w)) in ([ZERO, F(1, d)], [F(1, d)]) and det(gram(X, w)) > 0, f"{rule}: equal on a basis")
        w = laws(n, 1)[1]
        for k in range(steps):
            after = [F(x) for x in call(design.step, array(X), array(w), rule).tolist()]
            g = leverages(X, gram(X, w))
            to = g.index(min(g) if smallest else max(g))
            least = min(x for x, u in zip(g, w, strict=True) if u > 0)
            frm = next(i for i in range(n) if w[i] > 0 and g[i] == least)
            if rule == "pairwise":
                v = [F(int(i == to)) - F(int(i == frm)) for i in range(n)]
            elif rule == "away" and d - least > max(g) - d:
                v = [w[i] - F(int(i == frm)) for i in range(n)]
            else:
                v = [F(int(i == to)) - w[i] for i in range(n)]
            at = f"{rule}, step {k}"
            moved = [x - y for x, y in zip(after, w, strict=True)]
            size = max(abs(x) for x in v)
            alpha = ZERO if size == 0 else next(x / y for x, y in zip(moved, v, strict=True) if y != 0)
            if length != "exact":
                alpha = alpha / 2 if length == "half" else (max(g) - d) / d
                after = [x + alpha * y for x, y in zip(w, v, strict=True)]
                moved = [x - y for x, y in zip(after, w, strict=True)]
            yield all_equal(moved, [alpha * x for x in v], f"{at}: the direction")
            slope = sum((x * y for x, y in zip(v, leverages(X, gram(X, after)), strict=True)), ZERO)
            ended = any(x == 0 and y < 0 for x, y in zip(after, v, strict=True))
            yield (leq(ZERO, slope, f"{at}: at the end") if ended else equal(slope, ZERO, f"{at}: no slope"))
            yield leq(det(gram(X, w)), det(gram(X, after)), f"{at}: the determinant")
            w = after


@claim(
    "kiefer1960:small-support",
    says=r"""\#\{i : w'_i > 0\} \le \tfrac{d(d+1)}{2}, \qquad G(w) = t\, G(w'), \; t \le 1, \qquad
             x_i^\top G(w')^{-1} x_i \le x_i^\top G(w)^{-1} x_i""",
    where="Caratheodory's theorem, recalled; without the extra point derived, see docs",
    kind="identity",
    mode="exact",
    instances=sets,
    controls=[
        mutant("at most d points", points="d"),
        mutant("the same matrix without dividing by the sum", divided=False),
        mutant("the heaviest points alone", heaviest=True),
    ],
)
def small_support(problem: Any, *, points: str = "", divided: bool = True, heaviest: bool = False) -> Iterator[Row]:
    """A support of d(d+1)/2 points is enough, and costs no leverage."""
    X, _ = problem
    d, n = len(X[0]), len(X)
    most = d if points else d * (d + 1) // 2
    for i, w in enumerate(laws(n, 2)):
        out = [F(x) for x in call(design.pruned, array(X), array(w)).tolist()]
        if heaviest:
            kept = sorted(range(n), key=lambda k: -w[k])[:most]
            out = [w[k] / sum(w[j] for j in kept) if k in kept else ZERO for k in range(n)]
        yield equal(sum(out), ONE, f"law {i}: sums to one")
        yield leq(ZERO, min(out), f"law {i}: no weight is negative")
        yield leq(sum(x > 0 for x in out), most, f"law {i}: the support")
        G, after = gram(X, w), gram(X, out)
        t = G[0][0] / after[0][0] if divided else ONE
        yield leq(t, ONE, f"law {i}: what was taken away")
        flat = [x for row in G for x in row]
        yield all_equal(flat, [t * x for row in after for x in row], f"law {i}: the matrix")
        yield all_leq(leverages(X, after), leverages(X, G), f"law {i}: leverages")
