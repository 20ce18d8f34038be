"""Replacement problems: Howard's automobile, and a machine that wears out."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from mdpkit.instances.build import check_size, tabulate
from mdpkit.instances.registry import Known, in_range, instance
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP

F = Fraction


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split()))


# Howard (1960), the table of chapter 5: by age in quarters, 0 … 40; survival in thousandths.
PRICE = _numbers(
    "2000 1840 1680 1560 1300 1220 1150 1080 900 840 780 730 600 560 520 480 440 420 400 380 360 345 330 315 "
    "300 290 280 265 250 240 230 220 210 200 190 180 170 160 150 140 130"
)
TRADE_IN = _numbers(
    "1600 1460 1340 1230 1050 980 910 840 710 650 600 550 480 430 390 360 330 310 290 270 255 240 225 210 200 "
    "190 180 170 160 150 145 140 135 130 120 115 110 105 95 87 80"
)
EXPENSE = _numbers(
    "50 53 56 59 62 65 68 71 75 78 81 84 87 90 93 96 100 103 106 109 112 115 118 121 125 129 133 137 141 145 "
    "150 155 160 167 175 182 190 205 220 235 250"
)
SURVIVAL = _numbers(
    "1000 999 998 997 996 994 991 988 985 983 980 975 970 965 960 955 950 945 940 935 930 925 919 910 900 890 "
    "880 865 850 820 790 760 730 660 590 510 430 300 200 100 0"
)


@instance(
    "howard-automobile",
    source="Howard (1960), Dynamic Programming and Markov Processes, chapter 5, pages 54 to 60",
    known=[
        Known(
            {},
            "average",
            "gain",
            F("-150.946"),
            "as restated in the examples of the package marmoteMDP, 'in line with Howard'; recomputed in rationals",
            F(1, 2000),
        ),
        Known({}, "average", "policy", (*(13,) * 2, *(0,) * 23, *(13,) * 15), "as restated in the same place"),
    ],
    example={"oldest": 6},
)
def howard_automobile(*, oldest: int = 40, gamma: Fraction = Fraction(97, 100)) -> MDP:
    """Howard's automobile replacement: each quarter keep the car, or trade it for one of any age.

    State i - 1 is a car of age i = 1 … 40 quarters; action 0 keeps it, action k + 1 trades it for one of age k = 0 …
    39. Keeping a car of age i costs the operating expense E(i); trading it for age k brings T(i) - C(k) - E(k), with
    trade-in value T and price C. In the quarter a car of age k survives with probability p(k) and is then k + 1 old,
    else it is as good as one of age 40, the oldest.

    The best average is -150.946 a quarter: cars of 3 to 25 quarters are kept, younger and older ones traded for one of
    12. The table is as two independent programs transcribe it (all 164 numbers agree). ``oldest`` below 40 is no
    problem of Howard's: his table cut there. Discounted by default, with .97 a quarter as in his chapter 7 (recalled).
    """
    in_range("oldest", oldest, 1, 40)
    rows: list[tuple[int, int, int, Fraction, int]] = []
    for i in range(1, oldest + 1):
        for a in range(oldest + 1):
            age = i if a == 0 else a - 1
            paid = -EXPENSE[age] + (TRADE_IN[i] - PRICE[age] if a else 0)
            survives = F(SURVIVAL[age], 1000)
            rows.append((i - 1, a, min(age, oldest - 1), survives, paid))
            rows.append((i - 1, a, oldest - 1, 1 - survives, paid))
    names = {a: f"trade for age {a - 1}" if a else "keep" for a in range(oldest + 1)}
    return tabulate(
        oldest,
        rows,
        Discounted(gamma),
        rho=0,
        state_names=[f"age {i}" for i in range(1, oldest + 1)],
        action_names=names,
    )


@instance(
    "machine-replacement",
    source="Derman (1970), Finite State Markovian Decision Processes; numbers chosen here",
    known=[
        Known({}, "average", "gain", F(16, 7), "closed form: renewal reward of control limit 3"),
        Known({}, "average", "policy", (0, 0, 0, 1, 1, 1), "a control limit, by Derman's theorem"),
        Known({"new": "at-once"}, "average", "gain", F(8, 3), "closed form: renewal reward of control limit 3"),
        Known({"new": "at-once"}, "average", "policy", (0, 0, 0, 1, 1, 1), "a control limit, by Derman's theorem"),
        Known({}, "discounted", "V(0)", F(125100, 6749), "closed form: renewal equation of control limit 3"),
        Known({}, "discounted", "policy", (0, 0, 0, 1, 1, 1), "a control limit, by Derman's theorem"),
    ],
)
def machine_replacement(
    *,
    levels: int = 5,
    wear: Fraction = Fraction(1, 2),
    running: Fraction = Fraction(1),
    replacing: Fraction = Fraction(10),
    new: Literal["next-period", "at-once"] = "next-period",
    gamma: Fraction = Fraction(9, 10),
) -> MDP:
    """A machine of growing running cost: keep it (action 0) or replace it (action 1); a control limit is optimal.

    In state i = 0 … ``levels`` a period costs ``running`` times i, and with probability ``wear`` the machine gets one
    level worse (not in the last state). Replacing costs ``replacing``. With ``new=next-period`` it takes the period,
    and the next state is 0; with ``at-once`` the new machine runs in this period, as one in state 0 does.
    """
    in_range("levels", levels, 1)
    in_range("wear", wear, 0, 1)
    in_range("running", running, 0)
    check_size("the machine", states=levels + 1, pairs=2 * levels + 2, transitions=4 * levels + 4)
    rows: list[tuple[int, int, int, Fraction, Fraction]] = []
    for i in range(levels + 1):
        rows += [(i, 0, i, 1 - wear, running * i), (i, 0, min(i + 1, levels), wear, running * i)]
        wears = wear if new == "at-once" else F(0)
        rows += [(i, 1, 0, 1 - wears, replacing), (i, 1, 1, wears, replacing)]
    return tabulate(levels + 1, rows, Discounted(gamma), rho=0, minimize=True, action_names={0: "keep", 1: "replace"})
