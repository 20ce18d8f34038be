"""Exact arithmetic: solutions are substituted back in Fractions, and compared with plain elimination where small."""

import importlib.util
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from mdpkit.errors import ModelError, OptionError
from mdpkit.kernels import rational
from mdpkit.kernels.rational import dyadic_array, rationalize, rationalize_array, row_dot, solve_chain, to_fraction

F = Fraction


@pytest.fixture(params=["flint", "plain"])
def arithmetic(request, monkeypatch):
    if request.param == "flint" and importlib.util.find_spec("flint") is None:
        pytest.skip("python-flint is not installed")
    monkeypatch.setattr(rational, "USE_FLINT", request.param == "flint")
    return request.param


def objects(values):
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def pack(rows):
    ptr = np.cumsum([0, *map(len, rows)])
    return ptr, np.array([j for r in rows for j in r], dtype=np.int64), objects([v for r in rows for v in r.values()])


def substitute(rows, rhs, x):
    """The definition: x = rhs + M x, in Fractions."""
    return all(
        type(x[i]) is F and x[i] == rhs[i] + sum((v * x[j] for j, v in r.items()), F(0)) for i, r in enumerate(rows)
    )


def gauss(rows, rhs):
    """Dense elimination, independent of the library."""
    n = len(rows)
    T = [[F(i == j) - rows[i].get(j, 0) for j in range(n)] + [F(rhs[i])] for i in range(n)]
    for k in range(n):
        pivot = next(i for i in range(k, n) if T[i][k])
        T[k], T[pivot] = T[pivot], T[k]
        T[k] = [v / T[k][k] for v in T[k]]
        for i in range(n):
            if i != k and T[i][k]:
                T[i] = [a - T[i][k] * b for a, b in zip(T[i], T[k], strict=True)]
    return [T[i][n] for i in range(n)]


def split(rng, total, parts):
    """A random composition of an integer into positive parts."""
    cuts = np.sort(rng.choice(np.arange(1, total), parts - 1, replace=False)) if parts > 1 else np.array([], dtype=int)
    return [int(v) for v in np.diff([0, *cuts, total])]


def ring(rng, n, successors=3, denominator=10, exits=4):
    """One strongly connected component; from `exits` states it ends, paying in half of them."""
    rows, rhs = [], []
    leaving = set(rng.choice(n, min(exits, n), replace=False).tolist())
    for i in range(n):
        to = sorted({(i + 1) % n, *rng.integers(0, n, successors - 1).tolist()})
        w = split(rng, denominator, len(to) + (i in leaving))
        rows.append({j: F(k, denominator) for j, k in zip(to, w, strict=False)})
        rhs.append(F(w[-1], denominator) if i in leaving and i % 2 else F(0))
    return rows, rhs


def acyclic(rng, n):
    rows = []
    for i in range(n):
        to = rng.choice(i, min(i, 3), replace=False).tolist() if i else []
        rows.append(dict(zip(to, [F(w, 7) for w in split(rng, 7, len(to) + 1)], strict=False)))
    return rows, [F(int(v), 3) for v in rng.integers(-5, 6, n)]


def layered(rng, n, size):
    """Many components of up to `size` states, each leading to the one before."""
    rows, rhs, b = [], [], 0
    while b < n:
        k = int(min(rng.integers(1, size + 1), n - b))
        for i in range(b, b + k):
            to = {b + (i - b + 1) % k, b + int(rng.integers(0, k))}
            if b and (i == b or rng.random() < 0.3):
                to.add(int(rng.integers(max(0, b - 50), b)))
            to = sorted(to)
            w = split(rng, 12, len(to) + 1)
            rows.append(dict(zip(to, [F(v, 12) for v in w], strict=False)))
            rhs.append(F(int(rng.integers(-3, 4))) if rng.random() < 0.01 else F(0))
        b += k
    return rows, rhs


def discounted(rng, n, density=1.0):
    gamma, rows = F(99, 100), []
    for _ in range(n):
        to = np.flatnonzero(rng.random(n) < density).tolist() or [0]
        rows.append({j: gamma * F(w, 1000) for j, w in zip(to, split(rng, 1000, len(to)), strict=True)})
    return rows, [F(int(v), 10) for v in rng.integers(-50, 50, n)]


def birth_death(n, up):
    rows = [{j: p for j, p in ((i - 1, 1 - up), (i + 1, up)) if 0 <= j < n} for i in range(n)]
    return rows, [F(0)] * (n - 1) + [up]


def haddad_monmege(n):
    """A start in the middle, n states a side; half a step outward, half back to the start; one end is the target."""
    half, s = F(1, 2), n
    rows, rhs = [], [F(0)] * (2 * n + 1)
    for i in range(2 * n + 1):
        row = {}
        for j in [s - 1, s + 1] if i == s else [i - 1 if i < s else i + 1, s]:
            if 0 <= j <= 2 * n:
                row[j] = row.get(j, F(0)) + half
            elif j > 2 * n:
                rhs[i] = half
        rows.append(row)
    return rows, rhs


def rare_exit(rng, n, epsilon):
    """A component that is left with probability epsilon from two states only; one of the two pays."""
    rows, _ = ring(rng, n, exits=0)
    rhs = [F(0)] * n
    for i in (0, n // 2):
        j = next(iter(rows[i]))
        rows[i][j] -= epsilon
    rhs[0] = epsilon
    return rows, rhs


# -------------------- numbers


def test_to_fraction_reads_numbers_as_written():
    for x, value in [
        (3, F(3)), (F(2, 6), F(1, 3)), (np.int32(-7), F(-7)), (np.uint64(2**63), F(2**63)), (True, F(1)),
        ("1/3", F(1, 3)), ("0.95", F(19, 20)), ("1e-3", F(1, 1000)), ("-2", F(-2)), ("5/48768", F(5, 48768)),
        (" +.5 ", F(1, 2)), ("2.", F(2)), ("1.5e2/4", F(75, 2)), (Decimal("0.1"), F(1, 10)),
        (0.1, F(3602879701896397, 2**55)), (np.float32(0.1), F(13421773, 2**27)), (5e-324, F(1, 2**1074)), (-0.0, F(0)),
    ]:  # fmt: skip
        found = to_fraction(x)
        assert found == value
        assert type(found) is F
        assert type(found.numerator) is int


def test_to_fraction_reads_flint_rationals():
    flint = pytest.importorskip("flint")
    assert to_fraction(flint.fmpq(2, 6)) == F(1, 3)
    assert to_fraction(flint.fmpz(-4)) == -4


@pytest.mark.parametrize(
    "x",
    ["", "nan", "inf", "1/0", "0/0", "a", "1//2", "1/2/3", "0x10", "1e400000000", "1e-99999999", "--1", "1/-2", "1/2.5",
     None, 1j, [1], math.nan, math.inf, -math.inf, np.float32("nan"), Decimal("Infinity"), Decimal("1e999999"),
     "9" * 5000],
)  # fmt: skip
def test_to_fraction_refuses_what_is_no_number(x):
    with pytest.raises(OptionError, match="the discount"):
        to_fraction(x, what="discount")


def test_rationalize_known_values():
    assert rationalize(0.33333333333333337) == F(1, 3)
    assert rationalize(0.1) == F(1, 10)
    assert rationalize(0.1 + 0.2) == F(3, 10)
    assert rationalize(-2 / 3) == F(-2, 3)
    assert rationalize(5 / 48768) == F(5, 48768)
    assert rationalize(1e300) == F(1e300)
    assert rationalize(1e-300) == F(1e-300)
    assert rationalize(5e-324) == F(1, 2**1074)
    assert rationalize(1e-6) == F(1, 10**6)
    assert rationalize(1e-7) == F(1e-7)
    assert rationalize(math.pi) == F(math.pi)
    assert rationalize(0.0) == 0


def test_rationalize_stops_after_two_ulp():
    third = 1 / 3
    near = [math.nextafter(third, 1), math.nextafter(math.nextafter(third, 1), 1)]
    for x in [near[0], near[1], math.nextafter(near[1], 1), math.nextafter(third, 0)]:
        within = abs(F(x) - F(1, 3)) <= 2 * F(math.ulp(x))
        assert rationalize(x) == (F(1, 3) if within else F(x))
    assert rationalize(math.nextafter(near[1], 1)) != F(1, 3)


def test_rationalize_inverts_rounding():
    rng = np.random.default_rng(0)
    for p, q in zip(rng.integers(-(10**6), 10**6, 300).tolist(), rng.integers(1, 10**6 + 1, 300).tolist(), strict=True):
        assert rationalize(p / q) == F(p, q)


def test_arrays_of_any_shape_share_their_fractions():
    a = np.array([[0.1, 1 / 3, 0.1], [0.0, -0.0, 2.5]])
    r = rationalize_array(a)
    assert r.shape == (2, 3)
    assert r.tolist() == [[F(1, 10), F(1, 3), F(1, 10)], [F(0), F(0), F(5, 2)]]
    assert r[0, 0] is r[0, 2]
    assert dyadic_array(a).tolist() == [[F(v) for v in row] for row in a.tolist()]
    assert rationalize_array([]).shape == (0,)
    for convert in (rationalize_array, dyadic_array):
        with pytest.raises(OptionError, match=r"\(1, 0\)"):
            convert([[1.0], [math.nan]])
    with pytest.raises(OptionError):
        rationalize(math.inf)


# -------------------- products


def test_row_dot_against_the_definition(arithmetic):
    rng = np.random.default_rng(1)
    lengths = [0, 3, 1, 0, 0, 5, 8, 2, 0]
    columns = [set(rng.integers(0, 30, k).tolist()) for k in lengths]
    rows = [{j: F(int(rng.integers(-9, 9)), int(rng.integers(1, 50))) for j in row} for row in columns]
    for x in ([F(int(p), 7) for p in range(30)], [F(3**k, 5 ** (k * k * 9)) for k in range(30)], list(range(30))):
        y = row_dot(*pack(rows), objects(x))
        assert y.tolist() == [sum((v * x[j] for j, v in r.items()), F(0)) for r in rows]
        assert all(type(v) is F and math.gcd(v.numerator, v.denominator) == 1 for v in y)
    X = np.array([[F(i, 3), F(1, i + 1)] for i in range(30)], dtype=object)
    Y = row_dot(*pack(rows), X)
    assert Y.shape == (9, 2)
    assert Y[:, 1].tolist() == row_dot(*pack(rows), X[:, 1]).tolist()


def test_row_dot_refuses_wrong_columns():
    with pytest.raises(ModelError, match="row 1 refers to a column"):
        row_dot([0, 1, 2], [0, 5], objects([F(1), F(1)]), [F(1)] * 5)
    with pytest.raises(ModelError, match="do not fit"):
        row_dot([0, 1, 3], [0, 1], objects([F(1), F(1)]), [F(1)] * 5)


# -------------------- chains


SMALL = {
    "acyclic": lambda rng: acyclic(rng, 30),
    "ring": lambda rng: ring(rng, 24),
    "layers": lambda rng: layered(rng, 40, 6),
    "discounted": lambda rng: discounted(rng, 14),
    "birth-death": lambda _: birth_death(25, F(1, 3)),
    "haddad-monmege": lambda _: haddad_monmege(9),
    "rare exit": lambda rng: rare_exit(rng, 20, F(1, 10**25)),
}


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("limit", [0, 10**9], ids=["refined", "eliminated"])
def test_small_chains_against_dense_elimination(kind, limit, arithmetic, monkeypatch):
    monkeypatch.setattr(rational, "SMALL_BLOCK", limit)
    monkeypatch.setattr(rational, "SMALL_BLOCK_FLINT", limit)
    for seed in range(4):
        rows, rhs = SMALL[kind](np.random.default_rng(seed))
        x = solve_chain(*pack(rows), objects(rhs))
        assert substitute(rows, rhs, x)
        assert x.tolist() == gauss(rows, rhs)


LARGE = {
    "acyclic": lambda rng: acyclic(rng, 400),
    "ring of 400": lambda rng: ring(rng, 400),
    "ring with large denominators": lambda rng: ring(rng, 300, denominator=48768),
    "layers": lambda rng: layered(rng, 1500, 5),
    "layers of large components": lambda rng: layered(rng, 500, 150),
    "dense discounted": lambda rng: discounted(rng, 60),
    "sparse discounted": lambda rng: discounted(rng, 300, density=0.01),
    "gambler": lambda _: birth_death(300, F(1, 2)),
    "biased gambler": lambda _: birth_death(300, F(1, 10)),
    "rare exit": lambda rng: rare_exit(rng, 250, F(1, 10**40)),
}


@pytest.mark.parametrize("kind", LARGE)
def test_large_chains_by_substitution(kind, arithmetic):
    rows, rhs = LARGE[kind](np.random.default_rng(7))
    x = solve_chain(*pack(rows), objects(rhs))
    assert substitute(rows, rhs, x)
    assert all(math.gcd(v.numerator, v.denominator) == 1 and v.denominator > 0 for v in x)


@pytest.mark.parametrize("n", [5, 20, 60, 400])
def test_haddad_monmege_is_one_half(n, arithmetic):
    rows, rhs = haddad_monmege(n)
    x = solve_chain(*pack(rows), objects(rhs))
    assert x[n] == F(1, 2)
    # from k steps out on the target's side: 1 - 2^-(n+1-k) / 2 of the way is lost, by the first return to the start
    assert all(x[n + k] == (1 - F(1, 2 ** (n + 1 - k))) * F(1, 2) + F(1, 2 ** (n + 1 - k)) for k in range(1, n + 1))


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_gambler_is_linear(n, arithmetic):
    rows, rhs = birth_death(n, F(1, 2))
    assert solve_chain(*pack(rows), objects(rhs)).tolist() == [F(i + 1, n + 1) for i in range(n)]


def test_biased_gambler_has_the_closed_form(arithmetic):
    rows, rhs = birth_death(200, F(9, 19))
    rho = F(10, 9)
    assert solve_chain(*pack(rows), objects(rhs)).tolist() == [
        (rho ** (i + 1) - 1) / (rho**201 - 1) for i in range(200)
    ]


def test_entries_with_the_bits_of_floats(arithmetic):
    rng = np.random.default_rng(3)
    n = 90
    rows = [
        {(i + 1) % n: a, int(j): a / 2} if (i + 1) % n != j else {int(j): a}
        for i, (a, j) in enumerate(zip(dyadic_array(rng.random(n) / 2), rng.integers(0, n, n), strict=True))
    ]
    rhs = [F(v) for v in rng.random(n).tolist()]
    x = solve_chain(*pack(rows), objects(rhs))
    assert substitute(rows, rhs, x)


def test_denominators_beyond_the_range_of_floats(arithmetic, monkeypatch):
    monkeypatch.setattr(rational, "SMALL_BLOCK", 0)
    monkeypatch.setattr(rational, "SMALL_BLOCK_FLINT", 0)
    monkeypatch.setattr(rational, "_eliminate", None)  # the refinement itself succeeds
    for exponent in (20, 400):
        rows, rhs = ring(np.random.default_rng(8), 20)
        rows = [{j: v - F(1, 10**exponent) for j, v in r.items()} for r in rows]
        assert substitute(rows, rhs, solve_chain(*pack(rows), objects(rhs)))


def test_several_right_hand_sides_and_known_values(arithmetic):
    for rows, rhs in (ring(np.random.default_rng(5), 12), ring(np.random.default_rng(5), 150)):
        n = len(rows)
        known = {3: (F(1, 7), 2), n - 1: ("1/3", F(0))}
        B = np.array([[v, F(i, 11)] for i, v in enumerate(rhs)], dtype=object)
        X = solve_chain(*pack(rows), B, known=known)
        cut = [{} if i in known else r for i, r in enumerate(rows)]
        for c in range(2):
            right = [to_fraction(known[i][c]) if i in known else B[i, c] for i in range(n)]
            assert substitute(cut, right, X[:, c])
        assert solve_chain(*pack(rows), B[:, 0], known={i: v[0] for i, v in known.items()}).tolist() == X[:, 0].tolist()


def test_a_closed_class_with_a_known_state_is_solved(arithmetic):
    rows = [{1: F(1)}, {2: F(1, 2), 0: F(1, 2)}, {2: F(1)}]
    assert solve_chain(*pack(rows), [0, 0, 0], known={2: 5}).tolist() == [5, 5, 5]


def test_negative_entries_and_zero_pivots(arithmetic):
    rows = [{0: F(1), 1: F(1)}, {0: F(-1), 1: F(-1)}]
    assert solve_chain(*pack(rows), [F(1), F(2)]).tolist() == gauss(rows, [F(1), F(2)])
    rows = [{0: F(1), 1: F(1), 2: F(1, 2)}, {0: F(-1), 1: F(1), 2: F(0)}, {0: F(1, 3), 2: F(1, 2)}]
    assert solve_chain(*pack(rows), [F(1), F(2), F(3)]).tolist() == gauss(rows, [F(1), F(2), F(3)])
    rows[2][2] = F(1)
    with pytest.raises(ModelError, match="singular"):
        solve_chain(*pack(rows), [F(1), F(2), F(3)])
    rng = np.random.default_rng(9)
    rows, rhs = discounted(rng, 80)
    rows = [{j: v * int(s) for (j, v), s in zip(r.items(), rng.choice([-1, 1], len(r)), strict=True)} for r in rows]
    assert substitute(rows, rhs, solve_chain(*pack(rows), objects(rhs)))


def test_repeated_columns_add_up(arithmetic):
    x = solve_chain([0, 3], [0, 0, 0], [F(1, 4), F(1, 4), F(1, 4)], [F(1)])
    assert x.tolist() == [4]
    assert solve_chain([0, 2, 4], [1, 1, 0, 0], [F(1, 4)] * 4, [F(1), F(0)]).tolist() == [F(4, 3), F(2, 3)]


@pytest.mark.parametrize("limit", [0, 10**9], ids=["refined", "eliminated"])
def test_singular_systems_name_a_state_that_is_never_left(limit, arithmetic, monkeypatch):
    monkeypatch.setattr(rational, "SMALL_BLOCK", limit)
    monkeypatch.setattr(rational, "SMALL_BLOCK_FLINT", limit)
    rng = np.random.default_rng(2)
    half = F(1, 2)
    with pytest.raises(ModelError, match="state 1:"):
        solve_chain(*pack([{1: half}, {1: F(1)}, {0: half}]), [F(1)] * 3)
    with pytest.raises(ModelError, match=r"state [12] and the 1 states"):
        solve_chain(*pack([{1: half}, {2: F(1)}, {1: F(1)}]), [F(0)] * 3)
    rows, rhs = ring(rng, 60, exits=0)
    with pytest.raises(ModelError, match="and the 59 states"):
        solve_chain(*pack(rows), objects(rhs))
    # the same chain in other units: nonnegative, singular, but its rows do not sum to one
    units = [F(int(v)) for v in rng.integers(1, 9, 60)]
    scaled = [{j: v * units[i] / units[j] for j, v in r.items()} for i, r in enumerate(rows)]
    with pytest.raises(ModelError, match=r"and the 59 states|and the 58 states"):
        solve_chain(*pack(scaled), objects(rhs))


def test_the_ways_out_for_ill_conditioned_components_agree(arithmetic, monkeypatch):
    rows, rhs = ring(np.random.default_rng(4), 60)
    expected = solve_chain(*pack(rows), objects(rhs)).tolist()
    assert substitute(rows, rhs, expected)
    monkeypatch.setattr(rational._Integral, "refine", lambda *_: None)
    monkeypatch.setattr(rational, "SMALL_BLOCK", 0)
    monkeypatch.setattr(rational, "SMALL_BLOCK_FLINT", 0)
    for front in (-1, 10**9):
        for hubs in (0, 2):
            monkeypatch.setattr(rational, "NARROW_FRONT", front)
            monkeypatch.setattr(rational, "MOST_HUBS", hubs)
            assert solve_chain(*pack(rows), objects(rhs)).tolist() == expected


def test_small_answers_need_few_digits(arithmetic, monkeypatch):
    rows, _ = ring(np.random.default_rng(6), 400)
    rhs = [1 - sum(r.values()) for r in rows]
    longest = []
    keep = rational._Digits.extend
    monkeypatch.setattr(rational._Digits, "extend", lambda self, places: longest.append(places) or keep(self, places))
    assert solve_chain(*pack(rows), objects(rhs)).tolist() == [1] * 400
    assert max(longest) < 400


def test_wrong_arrays_are_refused():
    with pytest.raises(ModelError, match="wrong length"):
        solve_chain([0, 0], [], [], [1, 2])
    with pytest.raises(ModelError, match="does not exist"):
        solve_chain([0, 0], [], [], [1], known={1: 1})
    with pytest.raises(ModelError, match="known value of state 0"):
        solve_chain([0, 0], [], [], [1], known={0: [1, 2]})
    with pytest.raises(ModelError, match="wrong shape"):
        solve_chain([0, 0], [], [], [[[1]]])
    assert solve_chain([0], [], [], []).tolist() == []


# -------------------- the machinery


@pytest.mark.parametrize("bits", [8, 13, 24, 37, 44])
def test_digits_are_split_and_joined(bits):
    rng = np.random.default_rng(bits)
    b = objects([int.from_bytes(rng.bytes(k), "big", signed=True) for k in [1, 2, 30, 100, 7, 100]] + [0, -1, 2**bits])
    digits = rational._split(b, bits)
    assert (digits[1:] >= 0).all()
    assert (digits < 2**bits).all()
    assert rational._join(digits[0], digits[1:], bits) == b.tolist()


@pytest.mark.parametrize("size", [20, 200, 3000, 30000])
def test_fractions_are_found_from_their_digits(size, arithmetic):
    rng = np.random.default_rng(size)
    p, q = (int.from_bytes(rng.bytes(size // 8), "big") | 1 for _ in range(2))
    x = F(p, q)
    for error in (-5, 0, 5):
        places = 2 * size + 60
        X = math.floor(x * 2**places) + error
        p, q = rational._common_denominator([X, 3 * X, -X], places, 5)
        assert [F(int(v), int(q)) for v in p] == [x, 3 * x, -x]
    noise = int.from_bytes(rng.bytes(size // 4), "big")
    assert rational._common_denominator([noise], size // 4 * 8, 3) is None


def test_long_euclid_equals_short_euclid():
    rng = np.random.default_rng(11)
    for size in (40, 400, 4000):
        for _ in range(5):
            a, b = sorted((int.from_bytes(rng.bytes(size // 8), "big") for _ in range(2)), reverse=True)
            stop = size // 2
            (p, q, r, s), u, v = rational._euclid(a, b, stop)
            assert (p * u + q * v, r * u + s * v) == (a, b)
            while a % b >= 2**stop:
                a, b = b, a % b
            assert (u, v) == (a, b)
