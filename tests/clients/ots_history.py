"""Histories of one row under many clients, and whether they are linearizable: whether every operation can have happened at
one moment between its call and its answer, so that one row in memory would have given the same answers.

The search goes through the events in their order and keeps every state that the row can be in. An operation is carried out
as late as can be: when its answer is due, or when the answer of another one needs it. One whose answer never came may have
happened at any moment until `end`, which is when the server was seen dead, or not at all.
"""

from dataclasses import dataclass, field

OK, REFUSED, UNKNOWN = "ok", "refused", "unknown"


@dataclass
class Operation:
    """What one client did to one row. A row that is missing has the state None, others a number."""

    client: int
    key: object
    # read: `seen` is the state. put: of `value`. insert: of `value`, if there is none. swap: from `expected` to `value`.
    # add: of `value`, and `seen` is the sum. delete: if there is one.
    kind: str
    value: int = None
    expected: int = None
    start: int = 0
    end: int = 0
    outcome: str = UNKNOWN
    seen: int = None
    number: int = field(default=0, compare=False)

    def __str__(self):
        of = {"swap": f"{self.expected} -> {self.value}", "read": "", "delete": ""}.get(self.kind, self.value)
        seen = f" = {self.seen}" if self.kind in ("read", "add") and self.outcome == OK else ""
        return f"client {self.client}: {self.kind} {of}{seen} ({self.outcome}) [{self.start}, {self.end}]"


def states_after(operation, state):
    """The states that the row can be in after the operation was carried out; none if its answer does not fit."""
    kind, value, outcome = operation.kind, operation.value, operation.outcome
    if kind == "read":
        return [state] if outcome == UNKNOWN or operation.seen == state else []
    if kind == "put":
        holds, after = True, value
    elif kind == "insert":
        holds, after = state is None, value
    elif kind == "swap":
        holds, after = state is not None and state == operation.expected, value
    elif kind == "delete":
        holds, after = state is not None, None
    elif kind == "add":
        holds, after = True, (state or 0) + value
        if outcome == OK and operation.seen != after:
            return []
    else:
        raise AssertionError(f"an operation of the kind {kind}")
    if outcome == OK:
        return [after] if holds else []
    if outcome == REFUSED:
        return [] if holds else [state]
    return [state, after] if holds else [state]


class NotLinearizable(AssertionError):
    """The first answer that no order explains."""


def check(operations, states=(None,)):
    """The states that the row can be in at the end of its history. `states` are those before it."""
    for number, operation in enumerate(operations):
        operation.number = number
    # At one moment calls come before answers: that allows more orders, never fewer.
    events = sorted(
        [(o.start, 0, o.number) for o in operations] + [(o.end, 1, o.number) for o in operations],
    )
    # A way how things can have been: the state, and which of the open operations are carried out.
    ways = {(state, frozenset()) for state in states}
    open_ones = {}
    for _, is_answer, number in events:
        if not is_answer:
            open_ones[number] = operations[number]
            continue
        left = _carried_out(ways, open_ones, number)
        if not left:
            raise NotLinearizable(_words(operations[number], open_ones, ways))
        del open_ones[number]
        ways = left
    return {state for state, _ in ways}


def _carried_out(ways, open_ones, number):
    """The ways in which the operation is carried out, others before it where that helps; it is taken off them."""
    found, seen, todo = set(), set(ways), list(ways)
    while todo:
        state, done = todo.pop()
        if number in done:
            found.add((state, done - {number}))
            continue
        for other, operation in open_ones.items():
            if other in done:
                continue
            for after in states_after(operation, state):
                way = (after, done | {other})
                if way not in seen:
                    seen.add(way)
                    todo.append(way)
    return found


def _words(operation, open_ones, ways):
    lines = [f"no order explains the answer of {operation}", f"the row {operation.key} can have been:"]
    lines += [f"  {state}, with {sorted(done)} of the open ones done" for state, done in sorted(ways, key=str)[:8]]
    lines += ["open at that moment:"] + [f"  {number}: {other}" for number, other in sorted(open_ones.items())]
    return "\n".join(lines)


def check_all(operations, states):
    """Checks every row by itself. `states` says what each can be at the beginning; the answer is the same for the end."""
    rows = {}
    for operation in operations:
        rows.setdefault(operation.key, []).append(operation)
    return {key: check(rows.get(key, []), states.get(key, {None})) for key in {*rows, *states}}
