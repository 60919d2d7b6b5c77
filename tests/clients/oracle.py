"""The SQL test files as data, and their expected rows computed again by another engine.

`crates/warehouse/tests/it/sql/*.test` says of each block where its expected values come from. What an engine vouches for
(`# from: duckdb`, `# from: spark`) is run there: as written, or in the spelling of a line `# duckdb: SELECT …`. Several
such lines are one text. `# duckdb: -` leaves a statement out that the engine does not need.
"""

import math
import os
import re
from dataclasses import dataclass, field

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../crates/warehouse/tests/it/sql")
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
# Doubles agree to this part of their size.
CLOSE = 1e-9


@dataclass
class Block:
    """One statement or query of a file."""

    line: int
    kind: str
    sql: str = ""
    expected: list = field(default_factory=list)
    source: str = ""
    spellings: dict = field(default_factory=dict)


def names():
    """The files' names without their ending."""
    return sorted(name[:-5] for name in os.listdir(FOLDER) if name.endswith(".test"))


def blocks(name):
    """The blocks of a file in order."""
    with open(os.path.join(FOLDER, f"{name}.test"), encoding="utf-8") as file:
        lines = file.read().split("\n")
    found, paragraph = [], []
    for at, line in enumerate([*lines, ""], 1):
        if line.strip():
            paragraph.append((at, line))
            continue
        block = _block(paragraph)
        if block:
            found.append(block)
        paragraph = []
    return found


def _block(paragraph):
    """A block from the lines between two empty ones; None if there is nothing but words."""
    comments = [line for _, line in paragraph if line.startswith("#")]
    rest = [(at, line) for at, line in paragraph if not line.startswith("#")]
    if not rest:
        return None
    at, directive = rest[0]
    texts = [line for _, line in rest[1:]]
    cut = texts.index("----") if "----" in texts else len(texts)
    block = Block(at, directive.split()[0], "\n".join(texts[:cut]), texts[cut + 1 :])
    for comment in comments:
        key, _, value = comment.lstrip("# ").partition(":")
        if key == "from":
            block.source = value.split(",")[0].strip()
        elif key in ("duckdb", "spark"):
            block.spellings[key] = "\n".join(filter(None, [block.spellings.get(key), value.strip()]))
    return block


def text(value, inside=False):
    """A value as the test files write it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower() if inside else str(value).upper()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{text(k, True)}: {text(v, True)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(text(v, True) for v in value) + "]"
    return str(value)


def row_text(row):
    """A row as the test files write it."""
    return " | ".join(text(value) for value in row)


def same(wanted, got):
    """Whether two texts are equal, whole numbers exactly and fractions to CLOSE."""
    if wanted == got:
        return True
    if NUMBER.split(wanted) != NUMBER.split(got):
        return False
    return all(_same_number(a, b) for a, b in zip(NUMBER.findall(wanted), NUMBER.findall(got)))


def _same_number(a, b):
    if a.lstrip("-").isdigit() and b.lstrip("-").isdigit():
        return int(a) == int(b)
    return math.isclose(float(a), float(b), rel_tol=CLOSE, abs_tol=CLOSE)


def is_ordered(sql):
    """Whether the rows come in an order that counts. An ORDER BY in brackets orders a window or an aggregate."""
    depth, outside = 0, []
    for char in re.sub(r"'[^']*'", "''", sql):
        depth += (char == "(") - (char == ")")
        outside.append(char if depth == 0 else " ")
    return re.search(r"\border\s+by\b", "".join(outside), re.IGNORECASE) is not None


def difference(block, rows):
    """What is wrong with an engine's rows, or None."""
    wanted, got = list(block.expected), [row_text(row) for row in rows]
    if not is_ordered(block.sql):
        wanted, got = sorted(wanted), sorted(got)
    if len(wanted) == len(got) and all(map(same, wanted, got)):
        return None
    return "\n".join(["the file says", *wanted, "and the engine", *got])


def recompute(name, engine, run):
    """Runs what `engine` vouches for in a file; `run(sql)` gives its rows.

    Returns how many blocks were computed and what is wrong, one text each. Statements before a query prepare it: those
    that the engine cannot run as written are told where a query fails after them.
    """
    all_blocks = blocks(name)
    if not any(block.source == engine for block in all_blocks):
        return 0, []
    count, wrong, unprepared = 0, [], []
    for block in all_blocks:
        place = f"{name}.test:{block.line}"
        spelling = block.spellings.get(engine)
        sql = spelling or block.sql
        if block.source == engine and block.kind == "query":
            count += 1
            try:
                problem = difference(block, run(sql))
            except Exception as error:  # Each engine has its own.
                problem = "\n".join([f"cannot run: {error}", *unprepared])
            if problem:
                wrong.append(f"{place}: {sql}\n{problem}")
        elif block.source == engine:
            wrong.append(f"{place}: only the rows of a query can be computed again, this is a `{block.kind}`")
        elif block.kind == "statement" and spelling != "-":
            try:
                run(sql)
            except Exception as error:  # The same.
                told = f"{place} did not run: {error}"
                wrong.append(told) if spelling else unprepared.append(told)
    return count, wrong
