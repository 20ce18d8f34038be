r"""Models in NumPy's ``.npz`` archives, without loss.

The archive holds the model's arrays under their names, ``meta`` (JSON in UTF-8: names, criterion, goal), and one table
``rationals`` of the distinct rational numbers, text ``p/q`` a line, into which exact arrays point. Floats that are the
rationals correctly rounded are not stored twice. No pickles are written or read.

Archives made by :func:`numpy.savez` from arrays ``P`` and ``r`` (or ``R``) are read too; see :func:`read`.
"""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import fields as dataclass_fields
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np

from mdpkit.errors import MDPError, ModelError, ParseError, SizeError, nearest
from mdpkit.io.files import atomic
from mdpkit.kernels.rational import to_fraction
from mdpkit.models import criterion as criteria
from mdpkit.models.criterion import Criterion, Discounted
from mdpkit.models.linear import LinearMDP, LinearMixture
from mdpkit.models.mdp import MDP
from mdpkit.models.rewards import UNIT, Reward
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Array, Bools, Floats, Ints, Objects

__all__ = ["FORMAT", "read", "write"]

FORMAT = 1
"""Version of the format, stored as the array ``mdpkit_format``."""

ROW_TOLERANCE = 1e-6
COMPRESS_UP_TO = 1 << 28
SHORT = 12_000  # bits; longer integers are written in hexadecimal, which Python reads at any length


def write(mdp: MDP, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write a model so that :func:`read` returns an equal one: digest, exact numbers, names and labels.

    Parameters
    ----------
    mdp : MDP
    path : path-like
        Taken as it is; written to a temporary file first, then renamed.
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    OutputExistsError
        The file exists and ``overwrite`` is false.
    OptionError
        The folder does not exist, or the path is a folder.
    ModelError
        A state's name is neither a number, text, nor a tuple or frozenset of such; or the criterion is not mdpkit's.
    """
    arrays = _Writer().model(mdp)
    size = sum(array.nbytes for array in arrays.values())
    write: Any = np.savez_compressed if size <= COMPRESS_UP_TO else np.savez
    with atomic(path, overwrite) as file:
        write(file, allow_pickle=False, **arrays)


def read(path: str | os.PathLike[str]) -> MDP:
    """Read a model written by :func:`write`, or made of plain arrays.

    Plain arrays are ``P`` (see :class:`~mdpkit.models.mdp.MDP` for its shapes), ``r`` or ``R``, and optionally
    ``gamma`` (the criterion is then :class:`~mdpkit.models.criterion.Discounted`), ``rho`` and ``minimize``; others are
    ignored.

    Raises
    ------
    ParseError
        The file is missing, damaged, of a newer format or of another kind: names the array.
    ModelError
        Plain arrays that make no model.
    """
    path = Path(path)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise ParseError("no such file", path=path, needed="an existing .npz file") from None
    except OSError as error:
        what = "is a directory" if path.is_dir() else "cannot be read"
        raise ParseError(what, path=path, found=error.strerror, needed="an .npz file") from None
    with file:
        try:
            archive = zipfile.ZipFile(file)
        except (
            zipfile.BadZipFile,
            zipfile.LargeZipFile,
            NotImplementedError,
            ValueError,
            OSError,
            struct.error,
        ) as error:
            found = f"{error} ({path.stat().st_size} bytes)"
            raise ParseError(
                "truncated, or no .npz archive", path=path, found=found, way_out="write it again"
            ) from None
        with archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            reader = _Reader(path, archive, names)
            return reader.model() if {"mdpkit_format", "meta"} & set(names) else reader.plain()


STRUCTURES: dict[str, Any] = {"MDP": MDP, "LinearMDP": LinearMDP, "LinearMixture": LinearMixture}


def _structure(mdp: MDP) -> list[tuple[str, Any, Any]]:
    """The arrays of a model that is linear in features: name, floats, rationals."""
    if not isinstance(mdp, (LinearMDP, LinearMixture)):
        return []
    return [(name, getattr(mdp, name), getattr(mdp, f"{name}_exact")) for name in mdp.arrays]


# ------------------------------------------------------------------------------------------------------------ writing


class _Writer:
    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.codes: dict[Fraction, int] = {}

    def model(self, mdp: MDP) -> dict[str, Array]:
        arrays = self.arrays
        arrays["mdpkit_format"] = np.array(FORMAT, dtype=np.int64)
        arrays["pair_ptr"], arrays["action"] = mdp.pair_ptr, mdp.action
        self.transitions("", mdp.P)
        meta: dict[str, Any] = {
            "n_states": mdp.n_states,
            "n_actions": mdp.n_actions,
            "stages": mdp.stages,
            "minimize": mdp.minimize,
            "active": mdp.active,
            "origin": mdp.origin,
            "rewards": list(mdp.rewards),
            "base_rewards": None if mdp.base is None else list(mdp.base[1]),
            "labels": list(mdp.labels),
            "state_names": _encode_names(mdp.state_names, "state"),
            "pair_names": _encode_names(mdp.pair_names, "pair"),
            "criterion": None if mdp.criterion is None else self.criterion(mdp.criterion),
        }
        for i, reward in enumerate(mdp.rewards.values()):
            self.reward(f"reward{i}", reward)
        if mdp.base is not None:
            P, rewards = mdp.base
            if P is not mdp.P:
                self.transitions("base_", P)
            for i, reward in enumerate(rewards.values()):
                self.reward(f"base_reward{i}", reward)
        if mdp.labels:
            arrays["labels"] = np.packbits(np.array(list(mdp.labels.values())), axis=1)
        if mdp.rho is not None:
            self.numbers("rho", mdp.rho, mdp.rho_exact)
        for name, values, exact in _structure(mdp):
            self.numbers(name, values, exact)
        if isinstance(mdp, (LinearMDP, LinearMixture)):
            meta["structure"] = type(mdp).__name__
        if self.codes:
            arrays["rationals"] = _text("\n".join(map(_rational_text, self.codes)))
        meta["arrays"] = sorted(arrays)
        arrays["meta"] = _text(json.dumps(meta, ensure_ascii=False))
        return arrays

    def transitions(self, prefix: str, P: Transitions) -> None:
        if P.dense is not None and P.exact is None:
            self.arrays[f"{prefix}P_dense"] = P.dense
            return
        self.arrays[f"{prefix}P_indptr"], self.arrays[f"{prefix}P_indices"] = P.indptr, P.indices
        self.numbers(f"{prefix}P_data", P.data, P.exact)

    def reward(self, prefix: str, reward: Reward) -> None:
        self.numbers(f"{prefix}_values", reward.values, reward.exact)
        if not _same_bits(reward.error, UNIT * np.abs(reward.values)):
            self.arrays[f"{prefix}_error"] = reward.error
        if reward.transition is not None:
            self.numbers(f"{prefix}_transition", reward.transition, reward.transition_exact)

    def numbers(self, name: str, floats: Any, exact: Any) -> None:
        """Store floats, or codes of rationals and only such floats as are not the rationals rounded."""
        if exact is None:
            self.arrays[name] = np.asarray(floats, dtype=np.float64)
            return
        exact = np.asarray(exact, dtype=object)
        flat = exact.ravel().tolist()
        by_id: dict[int, int] = {}
        codes = np.empty(len(flat), dtype=np.uint32)
        for k, x in enumerate(flat):  # equal entries mostly share one object
            code = by_id.get(id(x))
            if code is None:
                code = by_id[id(x)] = self.codes.setdefault(to_fraction(x), len(self.codes))
            codes[k] = code
        self.arrays[f"{name}_exact"] = codes.reshape(exact.shape)
        floats = np.asarray(floats, dtype=np.float64)
        if not _same_bits(floats, exact.astype(np.float64)):
            self.arrays[name] = floats

    def criterion(self, c: Criterion) -> dict[str, Any]:
        if getattr(criteria, type(c).__name__, None) is not type(c):
            raise ModelError(f"the criterion {c} cannot be written", needed="a criterion of mdpkit.models")
        out: dict[str, Any] = {"type": type(c).__name__}
        for field in dataclass_fields(c):
            if not field.init:
                continue
            value = getattr(c, field.name)
            exact = getattr(c, "exact" if field.name == "gamma" else f"{field.name}_exact", None)
            if exact is not None or isinstance(value, (float, np.floating)):
                self.numbers(f"criterion_{field.name}", value, exact)
            elif isinstance(value, np.ndarray):
                self.arrays[f"criterion_{field.name}"] = cast(Array, value)
            else:
                out[field.name] = value.item() if isinstance(value, np.integer) else value
        return out


def _same_bits(x: Floats, y: Floats) -> bool:
    return x.shape == y.shape and np.ascontiguousarray(x).tobytes() == np.ascontiguousarray(y).tobytes()


def _text(text: str) -> Array:
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)


def _rational_text(x: Fraction) -> str:
    p, q = x.numerator, x.denominator
    left, right = (str(n) if n.bit_length() <= SHORT else hex(n) for n in (p, q))
    return left if q == 1 else f"{left}/{right}"


def _encode_names(names: Sequence[Any] | None, what: str) -> list[Any] | None:
    return None if names is None else [_encode(name, what) for name in names]


def _encode(name: Any, what: str) -> Any:
    """JSON of a name; what JSON does not know is tagged."""
    if name is None or type(name) in (str, int, bool, float):
        return name
    if isinstance(name, (np.bool_, np.integer, np.floating)):
        scalar = cast(Any, name)
        return {"numpy": scalar.dtype.str, "value": scalar.item()}
    if isinstance(name, Fraction):
        return {"rational": _rational_text(name)}
    if isinstance(name, tuple):
        return {"tuple": [_encode(part, what) for part in cast("tuple[Any, ...]", name)]}
    if isinstance(name, frozenset):
        return {"set": [_encode(part, what) for part in sorted(cast("frozenset[Any]", name), key=repr)]}
    if isinstance(name, str):
        return str(name)
    raise ModelError(
        f"a {what}'s name cannot be written",
        found=repr(name),
        needed="numbers, text, and tuples or frozensets of them",
        way_out="name the states otherwise: MDP(..., state_names=[...])",
    )


def _decode(name: Any) -> Any:
    if not isinstance(name, dict):
        if isinstance(name, list):
            raise ValueError("a list is no name")
        return name
    tagged = cast("dict[str, Any]", name)
    if "numpy" in tagged:
        return np.dtype(tagged["numpy"]).type(tagged["value"])
    if "rational" in tagged:
        return _read_rational(tagged["rational"])
    if "tuple" in tagged:
        return tuple(_decode(part) for part in tagged["tuple"])
    return frozenset(_decode(part) for part in tagged["set"])


def _read_rational(text: str) -> Fraction:
    above, _, below = text.partition("/")
    p, q = (int(t, 16 if "x" in t else 10) for t in (above, below or "1"))
    return Fraction(p, q)


# ------------------------------------------------------------------------------------------------------------ reading


class _Reader:
    def __init__(self, path: Path, archive: zipfile.ZipFile, names: list[str]):
        self.path, self.archive, self.names = path, archive, names
        self.table: Objects | None = None
        self.table_floats: Floats | None = None

    def fail(self, what: str, found: object = None, needed: str | None = None, way_out: str | None = None) -> NoReturn:
        raise ParseError(what, path=self.path, found=found, needed=needed, way_out=way_out)

    def missing(self, name: str) -> NoReturn:
        self.fail(f"the array {name!r} is missing", found=", ".join(self.names), way_out="write the file again")

    def array(self, name: str, kinds: str = "", shape: tuple[int, ...] | None = None) -> Array:
        """An array of the archive; ``kinds`` are the dtype kinds allowed, ``shape`` the shape it must have."""
        if name not in self.names:
            self.missing(name)
        try:
            member = name if name in self.archive.namelist() else f"{name}.npy"
            with self.archive.open(member) as file:
                array: Array = np.lib.format.read_array(file, allow_pickle=False)
                if file.read(1):
                    self.fail(f"the array {name!r} is damaged", found="bytes after its end")
        except ParseError:
            raise
        except MemoryError:
            raise SizeError(f"{self.path}: the array {name!r} does not fit in memory") from None
        except (
            ValueError,
            TypeError,
            KeyError,
            EOFError,
            OSError,
            SyntaxError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            if "allow_pickle" in str(error):
                self.fail(
                    f"the array {name!r} holds Python objects", found="a pickle, which is not read", needed="numbers"
                )
            self.fail(f"the array {name!r} is damaged", found=error, way_out="write the file again")
        except (zipfile.BadZipFile, zlib.error) as error:
            self.fail(f"the array {name!r} is damaged", found=error, way_out="write the file again")
        if kinds and array.dtype.kind not in kinds:
            self.fail(f"the array {name!r} is damaged", found=f"an array of {array.dtype}", needed=f"kind {kinds}")
        if shape is not None and array.shape != shape:
            self.fail(f"the array {name!r} is damaged", found=f"shape {array.shape}", needed=f"shape {shape}")
        return array

    # -- plain arrays

    def plain(self) -> MDP:
        names = set(self.names)
        if "P" not in names:
            self.fail(
                "the array 'P' is missing, and this is no model written by mdpkit",
                found=", ".join(self.names) or "an empty archive",
                needed="mdpkit's own arrays, or P and r",
            )
        if {"r", "R"} <= names:
            self.fail("the rewards are given twice", found="arrays r and R", needed="one of them")
        reward = "r" if "r" in names else "R"
        if reward not in names:
            self.fail("the array 'r' is missing", found=", ".join(self.names), needed="P and r (or R)")
        P, r = self.array("P", "biufUS"), self.array(reward, "biufUS")
        c = None
        if "gamma" in names:
            gamma = self.array("gamma", "biufUS")
            c = Discounted(gamma.item() if gamma.size == 1 else gamma)
        rho: Any = None
        if "rho" in names:
            rho = self.array("rho", "biufUS")
            rho = rho.item() if rho.ndim == 0 else rho
        minimize = bool(self.array("minimize", "biuf", ()).item()) if "minimize" in names else False
        return MDP(P, r, c, rho=rho, minimize=minimize)

    # -- mdpkit's format

    def model(self) -> MDP:
        version = int(self.array("mdpkit_format", "iu", ()))
        if version != FORMAT:
            self.fail("the file has another format version", found=version, needed=str(FORMAT), way_out="update mdpkit")
        meta = self.meta()
        try:
            for name in meta["arrays"]:
                if name not in self.names:
                    self.missing(name)
            return self.assemble(meta)
        except ParseError:
            raise
        except MDPError as error:
            self.fail(f"the arrays make no model: {error}")
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            self.fail("the array 'meta' is damaged", found=f"{type(error).__name__}: {error}")

    def meta(self) -> dict[str, Any]:
        try:
            text = self.array("meta", "u").tobytes().decode("utf-8", "surrogatepass")
            meta = json.loads(text)
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            self.fail("the array 'meta' is damaged", found=error)
        if not isinstance(meta, dict):
            self.fail("the array 'meta' is damaged", found=type(meta).__name__, needed="an object")
        return cast("dict[str, Any]", meta)

    def assemble(self, meta: dict[str, Any]) -> MDP:
        S, stages = int(meta["n_states"]), meta["stages"]
        pair_ptr: Ints = self.array("pair_ptr", "i", (S + 1,)).astype(np.int64)
        if S < 1 or pair_ptr[0] != 0 or np.any(np.diff(pair_ptr) < 1):
            self.fail(
                "the array 'pair_ptr' is damaged", found="offsets that do not ascend", needed="a pair for each state"
            )
        L = int(pair_ptr[-1])
        action: Ints = self.array("action", "i", (L,)).astype(np.int64)
        state: Ints = np.repeat(np.arange(S, dtype=np.int64), np.diff(pair_ptr))
        if np.any(action < 0) or np.any((np.diff(action) <= 0) & (np.diff(state) == 0)):
            self.fail("the array 'action' is damaged", found="actions that do not ascend within a state")
        if meta["n_actions"] != int(action.max()) + 1:
            self.fail(
                "the array 'action' is damaged", found=int(action.max()), needed=f"at most {meta['n_actions'] - 1}"
            )
        P = self.transitions("", S, L, stages)
        rewards = {name: self.reward(f"reward{i}", P, L, stages) for i, name in enumerate(meta["rewards"])}
        base = None
        if meta["base_rewards"] is not None:
            own = bool({"base_P_dense", "base_P_indptr"} & set(self.names))
            rows = self.transitions("base_", S, L, stages) if own else P
            listed = enumerate(meta["base_rewards"])
            base = rows, {name: self.reward(f"base_reward{i}", rows, L, stages) for i, name in listed}
            if meta["active"] is not None and meta["active"] not in base[1]:
                self.fail("the array 'meta' is damaged", found="base_rewards without the active reward")
        if meta["active"] is not None and meta["active"] not in rewards:
            self.fail(
                "the array 'meta' is damaged", found=f"active reward {meta['active']!r}", needed="one of the rewards"
            )
        rho, rho_exact = self.numbers("rho", (S,)) if {"rho", "rho_exact"} & set(self.names) else (None, None)
        fields: dict[str, Any] = {
            "n_states": S,
            "n_actions": int(meta["n_actions"]),
            "P": P,
            "pair_ptr": _frozen(pair_ptr),
            "state": _frozen(state),
            "action": _frozen(action),
            "stages": stages,
            "minimize": bool(meta["minimize"]),
            "criterion": None,
            "rewards": rewards,
            "active": meta["active"],
            "labels": self.labels(list(meta["labels"]), S),
            "rho": None if rho is None else _frozen(rho),
            "rho_exact": None if rho_exact is None else _frozen(rho_exact),
            "state_names": self.names_of(meta["state_names"], S),
            "pair_names": self.names_of(meta["pair_names"], L),
            "origin": str(meta["origin"]),
            "base": base,
        }
        kind = STRUCTURES[meta.get("structure", "MDP")]
        if kind is not MDP:
            for name in kind.arrays:
                fields[name], fields[f"{name}_exact"] = self.numbers(name)
        mdp: Any = kind.__new__(kind)
        mdp.__setstate__(fields)
        if kind is not MDP and not mdp.fits():
            self.fail(
                "the features do not fit the model", found=f"a {kind.__name__}", needed="rows that are their products"
            )
        c = meta["criterion"]
        return mdp if c is None else mdp.under(self.criterion(c))

    def transitions(self, prefix: str, S: int, L: int, stages: int | None) -> Transitions:
        name = f"{prefix}P_dense"
        if name in self.names:
            dense = self.array(name, "f")
            self.check_rows(name, dense.shape[0], L, stages)
            if dense.shape != (dense.shape[0], S):
                self.fail(f"the array {name!r} is damaged", found=f"shape {dense.shape}", needed=f"{S} columns")
            self.check_mass(name, dense.sum(axis=1), dense)
            # not from_dense, which would choose the representation anew
            P = Transitions.__new__(Transitions)
            P.n_rows, P.n_states = dense.shape
            P.__dict__.update(dense=_frozen(np.ascontiguousarray(dense)), exact=None)
            return P
        name = f"{prefix}P_indptr"
        indptr = self.array(name, "i")
        if indptr.ndim != 1 or not len(indptr) or indptr[0] != 0 or np.any(np.diff(indptr) < 0):
            self.fail(f"the array {name!r} is damaged", found="offsets that do not ascend")
        self.check_rows(name, len(indptr) - 1, L, stages)
        name = f"{prefix}P_indices"
        indices = self.array(name, "u", (int(indptr[-1]),))
        row = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        if len(indices) and (
            int(indices.max()) >= S or np.any((np.diff(indices.astype(np.int64)) <= 0) & (np.diff(row) == 0))
        ):
            self.fail(f"the array {name!r} is damaged", found="columns that do not ascend or are out of range")
        data, exact = self.numbers(f"{prefix}P_data", indices.shape)
        name = f"{prefix}P_data" if exact is None else f"{prefix}P_data_exact"
        self.check_mass(name, np.bincount(row, weights=data, minlength=len(indptr) - 1), data)
        return Transitions(indptr, indices, data, S, exact)

    def check_rows(self, name: str, n_rows: int, L: int, stages: int | None) -> None:
        if n_rows not in (L, L * (stages or 1)):
            self.fail(
                f"the array {name!r} is damaged", found=f"{n_rows} rows", needed=f"{L} pairs times {stages or 1} stages"
            )

    def check_mass(self, name: str, total: Array, entries: Array) -> None:
        if not (np.all(entries >= 0) and np.all(np.abs(total - 1) <= ROW_TOLERANCE)):
            k = int(np.argmax(~(np.abs(total - 1) <= ROW_TOLERANCE)))
            self.fail(
                f"the array {name!r} is damaged", found=f"row {k} with sum {total[k]}", needed="rows of probabilities"
            )

    def reward(self, prefix: str, P: Transitions, L: int, stages: int | None) -> Reward:
        name = f"{prefix}_values"
        values, exact = self.numbers(name)
        if values.shape not in ((L,), (L * (stages or 1),)):
            self.fail(f"the array {name!r} is damaged", found=f"shape {values.shape}", needed=f"({L},)")
        if not np.all(np.isfinite(values)):
            self.fail(f"the array {name!r} is damaged", found="an entry that is not finite")
        transition, transition_exact = None, None
        if {f"{prefix}_transition", f"{prefix}_transition_exact"} & set(self.names):
            transition, transition_exact = self.numbers(f"{prefix}_transition", (P.nnz,))
            transition = _frozen(transition)
        error = UNIT * np.abs(values)
        if f"{prefix}_error" in self.names:
            error = self.array(f"{prefix}_error", "f", values.shape)
        return Reward(values, exact, error, transition, transition_exact)

    def labels(self, names: list[str], S: int) -> dict[str, Bools]:
        if not names:
            return {}
        bits = self.array("labels", "u", (len(names), -(-S // 8)))
        masks = np.unpackbits(bits.astype(np.uint8), axis=1, count=S).astype(bool)
        return {name: _frozen(mask) for name, mask in zip(names, masks, strict=True)}

    def names_of(self, names: list[Any] | None, n: int) -> tuple[Any, ...] | None:
        if names is None:
            return None
        if len(names) != n:
            self.fail("the array 'meta' is damaged", found=f"{len(names)} names", needed=str(n))
        return tuple(map(_decode, names))

    def numbers(self, name: str, shape: tuple[int, ...] | None = None) -> tuple[Floats, Any]:
        """The floats and, where the array is exact, the rationals."""
        if f"{name}_exact" not in self.names:
            return self.array(name, "f", shape).astype(np.float64), None
        table, floats = self.rationals()
        codes = self.array(f"{name}_exact", "u", shape)
        if codes.size and int(codes.max()) >= len(table):
            self.fail(
                f"the array '{name}_exact' is damaged", found=int(codes.max()), needed=f"codes under {len(table)}"
            )
        values = self.array(name, "f", codes.shape).astype(np.float64) if name in self.names else floats[codes]
        return values, table[codes]

    def rationals(self) -> tuple[Objects, Floats]:
        if self.table is None or self.table_floats is None:
            try:
                lines = self.array("rationals", "u").tobytes().decode("ascii").split("\n")
                self.table = np.empty(len(lines), dtype=object)
                self.table[:] = [_read_rational(line) for line in lines]
            except (ValueError, ZeroDivisionError) as error:
                if isinstance(error, ParseError):
                    raise
                self.fail("the array 'rationals' is damaged", found=error, needed="numbers p/q, one a line")
            self.table_floats = self.table.astype(np.float64)
        return self.table, self.table_floats

    def criterion(self, meta: dict[str, Any]) -> Criterion:
        known = {
            name: kind
            for name in criteria.__all__
            if isinstance(kind := getattr(criteria, name), type)
            and issubclass(kind, Criterion)
            and kind is not Criterion
        }
        kind = known.get(meta["type"])
        if kind is None:
            self.fail(f"unknown criterion {meta['type']!r}", way_out=nearest(str(meta["type"]), known))
        arguments: dict[str, Any] = {}
        for field in dataclass_fields(kind):
            name = f"criterion_{field.name}"
            if not field.init:
                continue
            if f"{name}_exact" in self.names:
                exact = self.numbers(name)[1]
                arguments[field.name] = exact if isinstance(exact, Fraction) or exact.ndim else exact.item()
            elif name in self.names:
                value = self.array(name, "biuf")
                arguments[field.name] = value.item() if value.ndim == 0 else value
            elif field.name in meta:
                arguments[field.name] = meta[field.name]
        return kind(**arguments)


def _frozen(array: Any) -> Any:
    array = array.view()
    array.flags.writeable = False
    return array
