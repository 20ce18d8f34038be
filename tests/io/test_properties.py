"""Properties in PRISM's syntax, against direct evaluation and the labels of exported models."""

import csv
import gzip
import itertools
import os
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdpkit.errors import MDPError, ModelError, OptionError, PropertyError
from mdpkit.io.properties import Property, label_expression, parse_property

BOTH = "((s1 = 12) & (s2 = 12))"
LEAST = "((min(((s1 = 4) ? cd1 : 3), ((s2 = 4) ? cd2 : 3))) < 2)"


def bits(text):
    return np.array([sign == "1" for sign in text])


LABELS = {
    "a": bits("01010101"),
    "b": bits("00110011"),
    "agree": bits("00001111"),
    "agreement": bits("10000000"),
    "init": bits("10000000"),
    "deadlock": bits("00000001"),
    BOTH: bits("01100000"),
    LEAST: bits("00011000"),
    "(l = 4)": bits("10000001"),
    "all done": bits("11100000"),
}


def parse(text, labels=LABELS, rewards=("time",), **kwargs):
    return parse_property(text, labels=labels, n_states=len(next(iter(labels.values()))), rewards=rewards, **kwargs)


def target(text, labels=LABELS):
    mask = label_expression(text, labels, len(next(iter(labels.values()))))
    assert mask.dtype == bool
    return "".join("01"[int(bit)] for bit in mask)


def shown(mask):
    return None if mask is None else "".join("01"[int(bit)] for bit in mask)


# --- the fields -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "optimize", "reward", "bound", "path", "left", "right", "steps"),
    [
        ('Pmax=? [ F "a" ]', "P", "max", None, None, "reach", None, "01010101", None),
        ("Pmax=?[F a]", "P", "max", None, None, "reach", None, "01010101", None),
        ("  Pmin = ?[F\n(a)] ", "P", "min", None, None, "reach", None, "01010101", None),
        ('Pmin>=1 [F "agree"]', "P", "min", None, (">=", 1), "reach", None, "00001111", None),
        ("Pmax>1/3 [F a]", "P", "max", None, (">", Fraction(1, 3)), "reach", None, "01010101", None),
        ("P>=0.95 [ F<=10 a ]", "P", "min", None, (">=", Fraction(19, 20)), "reach", None, "01010101", 10),
        ("P>.5 [ F<10 a ]", "P", "min", None, (">", Fraction(1, 2)), "reach", None, "01010101", 9),
        ("P<=1e-3 [ F<=0 a ]", "P", "max", None, ("<=", Fraction(1, 1000)), "reach", None, "01010101", 0),
        ("P<1 [ G a ]", "P", "max", None, ("<", 1), "globally", None, "01010101", None),
        ("Pmin=? [ G<=7 a ]", "P", "min", None, None, "globally", None, "01010101", 7),
        ("Pmax=? [ X a ]", "P", "max", None, None, "next", None, "01010101", None),
        ("Pmax=? [ a U b ]", "P", "max", None, None, "until", "01010101", "00110011", None),
        ("Pmax=? [ a U<=4 b ]", "P", "max", None, None, "until", "01010101", "00110011", 4),
        ('Pmax=? [(!"a") U<4 "b"]', "P", "max", None, None, "until", "10101010", "00110011", 3),
        ("Pmax=? [ a & b U a | b => b ]", "P", "max", None, None, "until", "00010001", "10111011", None),
        ("Pmax=? [ (a & b) U (a | b) ]", "P", "max", None, None, "until", "00010001", "01110111", None),
        ("Pmax=? [ ((a U (b))) ]", "P", "max", None, None, "until", "01010101", "00110011", None),
        ("Pmax=? [ (F<=3 a & b) ]", "P", "max", None, None, "reach", None, "00010001", 3),
        ("Pmax=? [ true U a ]", "P", "max", None, None, "until", "11111111", "01010101", None),
        ('R{"time"}max=? [F "a"]', "R", "max", "time", None, "reach", None, "01010101", None),
        ("R{time}max=? [F a]", "R", "max", "time", None, "reach", None, "01010101", None),
        ('R{"time"}min<=5/2 [F a]', "R", "min", "time", ("<=", Fraction(5, 2)), "reach", None, "01010101", None),
        ('R{"time"}<=2.5 [F a]', "R", "max", "time", ("<=", Fraction(5, 2)), "reach", None, "01010101", None),
        ('R{ "time" } > -7 [F a]', "R", "min", "time", (">", -7), "reach", None, "01010101", None),
        ("Rmin=?[F a]", "R", "min", "time", None, "reach", None, "01010101", None),
    ],
)
def test_fields(text, kind, optimize, reward, bound, path, left, right, steps):
    prop = parse(text)
    assert isinstance(prop, Property)
    assert (prop.text, prop.kind, prop.optimize, prop.reward, prop.path) == (text, kind, optimize, reward, path)
    assert prop.bound == bound
    assert prop.steps == steps
    assert shown(prop.left) == left
    assert shown(prop.right) == right
    assert not prop.right.flags.writeable


def test_decimals_are_exact():
    assert parse("P>=0.1 [F a]").bound == (">=", Fraction(1, 10))
    assert parse("R<=0.30000000000000000000000000000000001 [F a]").bound[1].denominator == 10**35


def test_a_chain_needs_no_min_or_max():
    assert parse("P=? [F a]", chain=True).optimize == "max"
    assert parse("R=? [F a]", chain=True).optimize == "max"
    assert parse("P>=1/2 [F a]", chain=True).optimize == "min"
    with pytest.raises(PropertyError, match="min or max is needed"):
        parse("P=? [F a]")


def test_masks_of_the_model_are_not_shared():
    labels = {"a": bits("01")}
    prop = parse("Pmax=? [F a]", labels)
    labels["a"][:] = True
    assert shown(prop.right) == "01"


# --- labels as operands -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mask"),
    [
        (BOTH, "01100000"),
        ("(s1 = 12) & (s2 = 12)", "01100000"),
        ("(((s1=12)&(s2  =\t12)))", "01100000"),
        ("!((s1 = 12) & (s2 = 12))", "10011111"),
        ("!(((s1 = 12) & (s2 = 12)))", "10011111"),
        (f'"{BOTH}"', "01100000"),
        ('"(s1=12) & (s2=12)"', "01100000"),
        ("(s1 = 12) & (s2 = 12) & a", "01000000"),
        ("a & (s1 = 12) & (s2 = 12)", "01000000"),
        ("(s1 = 12) & (s2 = 12) | a", "01110101"),
        ("a | (s1 = 12) & (s2 = 12)", "01110101"),
        (LEAST, "00011000"),
        ("(min(((s1 = 4) ? cd1 : 3), ((s2 = 4) ? cd2 : 3)) < 2)", "00011000"),
        ("min(((s1=4)?cd1:3), ((s2=4)?cd2:3)) < 2", "00011000"),
        ("min((s1=4)?cd1:3, ((s2=4)?cd2:3)) < 2 & a", "00010000"),
        ("!min(((s1=4)?cd1:3), ((s2=4)?cd2:3)) < 2", "11100111"),
        ("l=4", "10000001"),
        ("((l) = 4)", "10000001"),
        ("!l=4", "01111110"),
        ("!(l=4) & a", "01010100"),
        ("all done", "11100000"),
        ('"all done"', "11100000"),
        ("agree", "00001111"),
        ("agreement", "10000000"),
        ("agreement | agree", "10001111"),
        ('("agree" & (!"a"))', "00001010"),
        ('"init" | deadlock', "10000001"),
        ("a & b", "00010001"),
        ("a&!b", "01000100"),
        ("a | b & agree", "01010111"),
        ("!a & b", "00100010"),
        ("!(a & b)", "11101110"),
        ("a => b => agree", "11101111"),
        ("(a => b) => agree", "01001111"),
        ("a <=> b", "10011001"),
        ("a <=> b => agree", "01101111"),
        ("a | b <=> agree", "10000111"),
        ("true", "11111111"),
        ("!false & a", "01010101"),
    ],
)
def test_state_formulas(text, mask):
    assert target(text) == mask
    assert shown(parse(f"Pmax=? [F {text}]").right) == mask
    assert shown(parse(f"Pmax=? [F<=5 ({text})]").right) == mask
    assert shown(parse(f"Pmax=? [{text} U a]").left) == mask
    assert shown(parse(f"Pmax=? [a U {text}]").right) == mask
    assert shown(parse(f"Rmax=? [F ({text})]").right) == mask


def test_the_longest_label_wins():
    labels = {"x=1": bits("1000"), "(x=1)&(y=2)": bits("0100"), "(y=2)": bits("0010"), "((x=1)&(y=2))|z": bits("0001")}
    assert target("x = 1", labels) == "1000"
    assert target("(x = 1) & (y = 2)", labels) == "0100"
    assert target("((x = 1) & (y = 2)) | z", labels) == "0001"
    assert target("(y = 2) & (x = 1)", labels) == "0000"
    assert target("(y = 2) | (x = 1)", labels) == "1010"
    prefixes = {"x=1": bits("1000"), "x=1 & y=2": bits("0100"), "x=1 & y=2 & z": bits("0010"), "z": bits("0011")}
    for order in itertools.permutations(prefixes):
        labels = {name: prefixes[name] for name in order}
        assert target("x=1 & y=2 & z", labels) == "0010"
        assert target("x=1 & y=2", labels) == "0100"
        assert target("(x=1 & y=2) & z", labels) == "0000"
        assert target("(x=1) & z", labels) == "0000"
        assert target("x=1 | z", labels) == "1011"


def test_a_label_that_means_something_else_without_its_parentheses_is_not_taken():
    with pytest.raises(PropertyError, match=re.escape(f"write the label '{BOTH}' in parentheses")) as caught:
        target("!(s1 = 12) & (s2 = 12)")
    assert caught.value.position == 2
    labels = {"p": bits("0101"), "q": bits("0011"), "(p | q)": bits("0111"), "(p => q)": bits("1011")}
    assert target("p | q & p", labels) == "0101"
    assert target("!p | q", labels) == "1011"
    assert target("q & p | q", labels) == "0011"
    assert target("p => q => p", labels) == "1111"
    assert target("(p => q) => p", labels) == "0101"


def test_labels_like_keywords():
    labels = {"F": bits("0101"), "true": bits("0100"), "U": bits("0011"), "G": bits("1000"), "P": bits("0001")}
    assert target("F", labels) == "0101"
    assert target("true", labels) == "0100"
    assert target("!true", labels) == "1011"
    assert shown(parse("Pmax=? [F F]", labels).right) == "0101"
    assert shown(parse("Pmax=? [F true]", labels).right) == "0100"
    assert shown(parse("Pmax=? [F U]", labels).right) == "0011"
    assert shown(parse("Pmax=? [F P]", labels).right) == "0001"
    assert shown(parse('Pmax=? [F "F"]', labels).right) == "0101"
    prop = parse("Pmax=? [F U G]", labels)
    assert (prop.path, shown(prop.left), shown(prop.right)) == ("until", "0101", "1000")
    prop = parse("Pmax=? [U U U]", labels)
    assert (prop.path, shown(prop.left), shown(prop.right)) == ("until", "0011", "0011")
    prop = parse("Pmax=? [F & U U (G)]", labels)
    assert (prop.path, shown(prop.left), shown(prop.right)) == ("until", "0001", "1000")
    prop = parse("Pmax=? [F<=3 F & U]", labels)
    assert (prop.path, shown(prop.right), prop.steps) == ("reach", "0001", 3)


def test_labels_that_differ_only_in_parentheses():
    same = {"(x = 1)": bits("01"), "x=1": bits("01")}
    assert target("((x=1))", same) == "01"
    other = {"(x = 1)": bits("01"), "x=1": bits("10")}
    assert target("x=1", other) == "10"
    assert target("(x  = 1)", other) == "01"
    assert target('"(x = 1)"', other) == "01"
    with pytest.raises(PropertyError, match="ambiguous"):
        target("F2 | ((x))=1", {**other, "F2": bits("00")})


def test_a_label_with_quotes_or_brackets():
    labels = {'"done" & x[0] = 1': bits("01"), "a)": bits("10"), "": bits("11")}
    assert target('("done" & x[0]=1)', labels) == "01"
    assert shown(parse('Pmax=? [F "done" & x[0]=1]', labels).right) == "01"
    assert target('"a)"', labels) == "10"
    assert target('""', labels) == "11"


def test_masks_must_fit():
    for wrong in (np.array([1, 0]), np.zeros(3, dtype=bool), np.zeros((2, 1), dtype=bool)):
        with pytest.raises(ModelError, match="label 'a'"):
            label_expression("true", {"a": wrong}, 2)


# --- against truth tables ---------------------------------------------------------------------------------------------

# 32 states: every combination of five propositions; three of them are labels that look like expressions
ATOMS = ["a", "finished", "((s1 = 12) & (s2 = 12))", "(x < 3)", "(min((c ? 1 : y), 2) = 1 | w)"]
STATES = list(itertools.product([False, True], repeat=len(ATOMS)))
TABLE = {atom: np.array([state[i] for state in STATES]) for i, atom in enumerate(ATOMS)}
LEVELS = {"=>": 1, "<=>": 2, "|": 3, "&": 4}
MEANING = {
    "=>": lambda p, q: (not p) or q,
    "<=>": lambda p, q: p == q,
    "|": lambda p, q: p or q,
    "&": lambda p, q: p and q,
}


def trees(leaves):
    return st.recursive(
        leaves,
        lambda sub: st.one_of(st.tuples(st.just("!"), sub), st.tuples(st.sampled_from(sorted(LEVELS)), sub, sub)),
        max_leaves=12,
    )


def evaluate(tree, values):
    if isinstance(tree, str):
        return {"true": True, "false": False}.get(tree, values.get(tree))
    if tree[0] == "!":
        return not evaluate(tree[1], values)
    return MEANING[tree[0]](evaluate(tree[1], values), evaluate(tree[2], values))


def render(tree, draw_parenthesis, leaf):
    """The pieces of a tree with the parentheses it needs, and some it does not; and its level."""
    if isinstance(tree, str):
        words, level = leaf(tree), 6
    elif tree[0] == "!":
        inner, own = render(tree[1], draw_parenthesis, leaf)
        words, level = ["!", *(inner if own >= 5 else ["(", *inner, ")"])], 5
    else:
        level = LEVELS[tree[0]]
        left, own = render(tree[1], draw_parenthesis, leaf)
        left = left if own > level or (own == level and tree[0] != "=>") else ["(", *left, ")"]
        right, own = render(tree[2], draw_parenthesis, leaf)
        # & | <=> are associative, => leans to the right
        right = right if own >= level else ["(", *right, ")"]
        words = [*left, tree[0], *right]
    for _ in range(draw_parenthesis()):
        words, level = ["(", *words, ")"], 6
    return words, level


PLAIN = re.compile(r"<=>|=>|<=|>=|\w+|\S")


def join(words, draw_space):
    text = ""
    for word in words:
        gap = draw_space()
        text += (gap or " ") if text and re.match(r"\w", word) and re.match(r"\w", text[-1]) else gap
        text += word
    return text


@settings(max_examples=300, deadline=None)
@given(tree=trees(st.sampled_from([*ATOMS, "true", "false"])), data=st.data())
def test_truth_tables(tree, data):
    parentheses = st.sampled_from([0, 0, 0, 1, 2])
    spaces = st.sampled_from(["", "", " ", "  ", "\t"])

    def leaf(name):
        if name in TABLE and data.draw(st.booleans()):
            return [f'"{name}"']
        return PLAIN.findall(name)

    words, _ = render(tree, lambda: data.draw(parentheses), leaf)
    text = join(words, lambda: data.draw(spaces))
    expected = [bool(evaluate(tree, dict(zip(ATOMS, state, strict=True)))) for state in STATES]
    assert label_expression(text, TABLE, len(STATES)).tolist() == expected


PAIR = list(itertools.product([False, True], repeat=3))


@settings(max_examples=300, deadline=None)
@given(
    tree=trees(st.sampled_from(["p", "q", "r"])),
    extra=st.lists(trees(st.sampled_from(["p", "q", "r"])), max_size=4),
    outer=st.booleans(),
)
def test_true_labels_never_change_a_meaning(tree, extra, outer):
    """Labels that are formulas and hold where the formula holds leave every other formula as it was."""
    names = ["p", "q", "r"]

    def holds(tree):
        return [bool(evaluate(tree, dict(zip(names, state, strict=True)))) for state in PAIR]

    labels = {name: np.array(holds(name)) for name in names}
    for formula in extra:
        text = " ".join(render(formula, lambda: 0, lambda name: [name])[0])
        labels.setdefault(f"({text})" if outer else text, np.array(holds(formula)))
    text = " ".join(render(tree, lambda: 0, lambda name: [name])[0])
    assert label_expression(text, labels, len(PAIR)).tolist() == holds(tree)


# --- errors -----------------------------------------------------------------------------------------------------------

WRONG = [
    # text, position, part of the message
    ("", 0, "empty"),
    ("   ", 3, "empty"),
    ("hello", 0, "begins with P or R"),
    ("Pmax", 4, "=? or a bound"),
    ("Pmax=", 4, "equality"),
    ("Pmax=0.5 [F a]", 4, "equality"),
    ("Pmax=>0.5 [F a]", 4, "=? or a bound"),
    ("Pmaxmin=? [F a]", 0, "begins with P or R"),
    ("Pmax min=? [F a]", 5, "twice"),
    ("P=? [F a]", 1, "min or max is needed"),
    ("Pmax=? F a", 7, "brackets"),
    ("Pmax=? [F a", 11, "not closed"),
    ("Pmax=? [F a]]", 12, "follows"),
    ("Pmax=? [F a] & Pmax=? [F b]", 13, "Boolean combination of properties"),
    ("Pmax=? []", 8, "operand is missing"),
    ("Pmax=? [F]", 9, "operand is missing"),
    ("Pmax=? [F ]", 10, "operand is missing"),
    ("Pmax=? [F ()]", 11, "operand is missing"),
    ("Pmax=? [a]", 9, "no temporal operator"),
    ("Pmax=? [(a)]", 11, "no temporal operator"),
    ("Pmax=? [F (a]", 12, "not closed"),
    ("Pmax=? [F a)]", 11, "never opened"),
    ("Pmax=? [F a b]", 12, "unexpected"),
    ("Pmax=? [F a & ]", 14, "operand is missing"),
    ("Pmax=? [F & a]", 10, "operand is missing"),
    ("Pmax=? [F a && b]", 12, "write &"),
    ("Pmax=? [F a || b]", 12, "conditional"),
    ("Pmax=? [a U ]", 12, "operand is missing"),
    ('Pmax=? [F "a]', 10, "not closed"),
    ('Pmax=? [F "agre"]', 10, "did you mean 'agree'"),
    ("Pmax=? [F a | agre]", 14, "did you mean 'agree'"),
    ("Pmax=? [F agreements]", 10, "did you mean 'agreement'"),
    ("Pmax=? [F agree2]", 10, "unknown label 'agree2'"),
    ("Pmax=? [F (l = 41)]", 11, "unknown label 'l = 41'"),
    ("Pmax=? [F (l = 4.5)]", 11, "unknown label 'l = 4.5'"),
    ("Pmax=? [F (l = 4 + 1)]", 11, "unknown label 'l = 4 + 1'"),
    ("Pmax=? [F a & (s1 = 12)]", 15, "unknown label 's1 = 12'"),
    ("Pmax=? [F alldone]", 10, "unknown label 'alldone'; way out: did you mean 'all done'"),
    ("Pmax=? [F a = 1]", 10, "unknown label 'a = 1'"),
    ("P>=1.5 [F a]", 3, "not a probability"),
    ("P>=-1 [F a]", 3, "not a probability"),
    ("P>=1/0 [F a]", 5, "divides by zero"),
    ("P>= [F a]", 4, "number is missing"),
    ("P>=p [F a]", 3, "constant 'p'"),
    ("P>=1/k [F a]", 5, "constant 'k'"),
    ("P>=1*2 [F a]", 3, "plain number"),
    ("P>=1e-999999999 [F a]", 3, "too long"),
    ("P>=0." + "1" * 6000 + " [F a]", 3, "too long"),
    ("Pmax=? [F<=2.5 a]", 11, "whole number"),
    ("Pmax=? [F<=k a]", 11, "constant"),
    ("Pmax=? [F<=(1+1) a]", 11, "expression"),
    ("Pmax=? [F<=-1 a]", 11, "expression"),
    ("Pmax=? [F<0 a]", 9, "leaves no step"),
    ("Pmax=? [F<=1a]", 12, "white space"),
    ("Pmax=? [F<= a]", 12, "constant"),
    ("Pmax=? [F<=]", 11, "number is missing"),
    ("Pmax=? [F>=3 a]", 9, "the bound F>= is not supported"),
    ("Pmax=? [F=3 a]", 9, "the bound F= is not supported"),
    ("Pmax=? [F[1,3] a]", 9, "time interval is not supported"),
    ("Pmax=? [a U[1,3] b]", 11, "time interval is not supported"),
    ('Pmax=? [F{"time"}<=3 a]', 9, "reward-bounded"),
    ("Pmax=? [X<=3 a]", 9, "a bound on X is not supported"),
    ("Pmax=? [F G a]", 10, "LTL"),
    ("Pmax=? [F (a U b)]", 13, "LTL"),
    ("Pmax=? [a U b U a]", 14, "LTL"),
    ("Pmax=? [F a U b]", 12, "LTL"),
    ("Pmax=? [(F a) & (G b)]", 14, "LTL"),
    ("Pmax=? [(F a) => (G b)]", 14, "=> between path formulas (LTL) is not"),
    ("Pmax=? [!F a]", 9, "LTL"),
    ("Pmax=? [a & F b]", 12, "LTL"),
    ("Pmax=? [a W b]", 10, "W (weak until) is not supported"),
    ("Pmax=? [a R b]", 10, "R (release) is not supported"),
    ("Pmax=? [F (P>=0.5 [X a])]", 11, "nesting"),
    ("Pmax=? [F E [F a]]", 10, "CTL"),
    ("E [F a]", 0, "CTL"),
    ("A [G a]", 0, "CTL"),
    ("S=? [a]", 0, "steady-state"),
    ("Smax=? [a]", 0, "steady-state"),
    ("LRAmax=? [a]", 0, "LRA"),
    ("Tmin=? [F a]", 0, "time operator"),
    ("filter(max, Pmax=? [F a])", 0, "filter"),
    ("Pmax=? [F a]{a}", 12, "filter"),
    ("multi(Pmax=? [F a], Pmax=? [F b])", 0, "multi"),
    ("<<1>> Pmax=? [F a]", 0, "games"),
    ("const int k; Pmax=? [F a]", 0, "constant declaration"),
    ("!Pmax=? [F a]", 0, "Boolean combination"),
    ('"goal": Pmax=? [F a]', 0, "name before the property"),
    ("P{x}max=? [F a]", 1, "R for rewards"),
    ('R{"tim"}max=? [F a]', 2, "did you mean 'time'"),
    ('R{"tim', 2, "name of a reward structure is missing"),
    ("R{}max=? [F a]", 2, "missing"),
    ('R{"time"max=? [F a]', 8, "not closed"),
    ("R{1}max=? [F a]", 2, "by its number"),
    ('Rmax{"time"}=? [F a]', 4, "before min or max"),
    ('R{"time"}{"time"}max=? [F a]', 9, "two reward structures"),
    ("Rmax=? [C<=5]", 8, "cumulative"),
    ("Rmax=? [C]", 8, "cumulative"),
    ("Rmax=? [I=5]", 8, "instantaneous"),
    ("Rmax=? [S]", 8, "long-run"),
    ("Rmax=? [F<=5 a]", 8, "another path formula than F a"),
    ("Rmax=? [a U b]", 8, "another path formula than F a"),
    ("Rmax=? [G a]", 8, "another path formula than F a"),
    ("Rmax=? [X a]", 8, "another path formula than F a"),
]


@pytest.mark.parametrize(("text", "position", "message"), WRONG, ids=[text[:40] for text, _, _ in WRONG])
def test_errors_show_where(text, position, message):
    with pytest.raises(PropertyError) as caught:
        parse(text)
    error = caught.value
    assert message in str(error)
    assert error.position == position
    *_, line, caret = str(error).splitlines()
    assert line == "  " + text
    assert caret == "  " + " " * position + "^"


@pytest.mark.parametrize("text", ["", "a b", "a)", "(a", "F a", "a U b", "a]", "[a]", "!", "c", '"c"'])
def test_state_formula_errors(text):
    with pytest.raises(PropertyError) as caught:
        target(text)
    assert 0 <= caught.value.position <= len(text)


def test_reward_structures():
    with pytest.raises(PropertyError, match=r"exactly one reward structure.*2 reward structures: cost, time"):
        parse("Rmax=? [F a]", rewards=["time", "cost"])
    with pytest.raises(PropertyError, match="a model with rewards"):
        parse("Rmax=? [F a]", rewards=[])
    assert parse('R{"cost"}max=? [F a]', rewards=["time", "cost"]).reward == "cost"


def test_the_caret_stands_under_its_sign_in_a_text_of_several_lines():
    with pytest.raises(PropertyError) as caught:
        parse("Pmax=?\n[F\tc]")
    assert str(caught.value).splitlines()[-2:] == ["  Pmax=? [F c]", "            ^"]


def test_a_text_is_needed():
    with pytest.raises(PropertyError, match="text"):
        parse(None)


def outcome(text):
    """None for a property, else the position of its error."""
    try:
        assert parse(text).right.shape == (8,)
    except PropertyError as error:
        return -1 if error.position is None else error.position
    return None


SOUP = [
    "P",
    "Pmax",
    "Rmin",
    "R",
    "=",
    "?",
    "[",
    "]",
    "(",
    ")",
    "F",
    "G",
    "U",
    "X",
    "<=",
    "<",
    ">=",
    "&",
    "|",
    "=>",
    "!",
]
SOUP += [
    "a",
    "b",
    "agree",
    '"a"',
    '"',
    "3",
    "0.5",
    "1/2",
    "{",
    "}",
    '"time"',
    "s1",
    "=",
    "12",
    ",",
    "min",
    "true",
    "C",
    "é",
    "\n",
]


@settings(max_examples=500, deadline=None)
@given(
    head=st.sampled_from(["", "Pmax=? [", "Pmax=? [F ", 'R{"time"}max=? [F ', "Pmax=? [a U "]),
    words=st.lists(st.sampled_from(SOUP), max_size=14),
    glue=st.sampled_from(["", " "]),
    tail=st.sampled_from(["", "]"]),
)
def test_any_text_parses_or_is_a_property_error(head, words, glue, tail):
    text = head + glue.join(words) + tail
    assert outcome(text) is None or 0 <= outcome(text) <= len(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_any_characters_parse_or_are_a_property_error(text):
    for whole in (text, f"Pmax=? [F {text}]"):
        assert outcome(whole) is None or 0 <= outcome(whole) <= len(whole)


def test_depth_costs_no_recursion():
    n = 3000
    assert target("(" * n + "a & b" + ")" * n) == "00010001"
    assert target("!" * n + "a") == "01010101"
    assert target(" => ".join(["a"] * n)) == target("true")
    assert target(" & ".join(["a"] * n)) == "01010101"


# --- deciding a bound -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "lower", "upper", "answer"),
    [
        (">=1/2", Fraction(1, 2), Fraction(1), True),
        (">=1/2", Fraction(1, 3), Fraction(2, 3), None),
        (">=1/2", 0.25, 0.5, None),
        (">=1/2", 0.25, 0.4999, False),
        (">1/2", 0.5, 0.75, None),
        (">1/2", 0.25, 0.5, False),
        ("<=1/2", 0.25, 0.5, True),
        ("<=1/2", 0.5, 0.75, None),
        ("<1/2", 0.5, 0.75, False),
        ("<1/2", 0.25, 0.5, None),
        ("<1/2", 0, Fraction(1, 3), True),
    ],
)
def test_holds(bound, lower, upper, answer):
    assert parse(f"P{bound} [F a]").holds(lower, upper) is answer


def test_holds_exactly():
    third = parse("P>=1/3 [F a]")
    assert third.holds(Fraction(1, 3)) is True
    assert third.holds(1 / 3) is False  # the float below 1/3
    assert third.holds("1/3") is True
    assert parse("P>=0.1 [F a]").holds(0.1) is True  # the float above 1/10
    assert parse("P<=0.1 [F a]").holds(0.1) is False
    assert third.holds(np.float64(0.5), np.float64(1)) is True
    assert third.holds(np.int64(0)) is False


def test_holds_of_infinite_rewards():
    infinity = float("inf")
    assert parse("R<=100 [F a]").holds(infinity) is False
    assert parse("R>100 [F a]").holds(infinity, infinity) is True
    assert parse("R<=100 [F a]").holds(50, infinity) is None
    assert parse("R<=100 [F a]").holds("inf") is False


def test_holds_refuses_nonsense():
    with pytest.raises(OptionError, match="no bound"):
        parse("Pmax=? [F a]").holds(0.5)
    with pytest.raises(OptionError, match="cross"):
        parse("P>=1 [F a]").holds(0.6, 0.5)
    for wrong in (float("nan"), "x", None, "1/0"):
        with pytest.raises(MDPError, match="not a number"):
            parse("P>=1 [F a]").holds(wrong)


# --- exported benchmark models ----------------------------------------------------------------------------------------

MODELS = Path(os.environ.get("MDPKIT_MODELS") or Path(__file__).parents[2].parent / "shared" / "models")
needs_models = pytest.mark.skipif(
    not (MODELS / "MANIFEST.csv").exists(), reason="no folder of benchmark models; set MDPKIT_MODELS to one"
)

# what the formulas say that are not a single label
EXPRESSIONS = {
    '("finished" & "all_coins_equal_1")': lambda on: on("finished") & on("all_coins_equal_1"),
    '("finished" & (!"agree"))': lambda on: on("finished") & ~on("agree"),
    '(!"collision_max_backoff")': lambda on: ~on("collision_max_backoff"),
}


def labels_of(path):
    """Labels and names of reward models of an exported model, read without the library."""
    sets, n_states, rewards = {}, 0, []
    with gzip.open(path, "rt") as file:
        lines = file.read().splitlines()
    for number, line in enumerate(lines):
        if line == "@reward_models":
            rewards = lines[number + 1].split()
        if line.startswith("state "):
            rest = re.sub(r"^state \d+( \[[^]]*\])?", "", line)
            for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', rest):
                sets.setdefault(quoted or bare, set()).add(n_states)
            n_states += 1
    return {name: np.isin(np.arange(n_states), sorted(on)) for name, on in sets.items()}, n_states, rewards


@needs_models
def test_benchmark_formulas():
    with (MODELS / "MANIFEST.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    read = {}
    for row in rows:
        if row["drn"] not in read:
            read[row["drn"]] = labels_of(MODELS / row["drn"])
        labels, n_states, rewards = read[row["drn"]]
        assert n_states == int(row["states"])
        text = row["formula"]
        whole = re.fullmatch(r'(P|R)(?:\{"(\w+)"\})?(min|max)(=\?|>=1) \[(?:F (.*)|(.*) U (.*))\]', text)
        kind, reward, side, bound, reach, left, right = whole.groups()

        def operand(text, labels=labels):
            if text in EXPRESSIONS:
                return EXPRESSIONS[text](labels.__getitem__)
            return labels[text.strip('"')]

        prop = parse_property(text, labels=labels, n_states=n_states, rewards=rewards)
        assert (prop.kind, prop.reward, prop.optimize) == (kind, reward, side)
        assert prop.bound == (None if bound == "=?" else (">=", 1))
        assert prop.path == ("until" if left else "reach")
        np.testing.assert_array_equal(prop.right, operand(reach or right))
        assert prop.right.any()
        if left:
            np.testing.assert_array_equal(prop.left, operand(left))
