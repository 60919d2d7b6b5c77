"""Does the statements of `feitian-kill --shared` in the order of the log, and compares the tables after every version.

    model.py DATA STATEMENTS.json

Every version of a table names its statement: the application id of `txn` is the instance. A statement that was
acknowledged is in the log of each of its tables once, whatever was killed meanwhile; one that was overtaken is in none.
What a version makes of the rows is what the statement says, done to the version that it read (`readVersion`, and
`readTables` for other tables): nobody may have changed the table in between, but for what docs/statements.md allows.

The server is gone, and has collected nothing: all files of all versions are there.
"""

import collections
import json
import sys
import urllib.parse
from pathlib import Path

import duckdb
from deltalake import DeltaTable

KEYED = "shared_keyed"
TABLES = (KEYED, "shared_plain", "shared_parts")
# Versions that other people's reader opens; the last one is among them.
OPENED = 25
# What may find no row to change, and then leaves no version.
MAY_DO_NOTHING = ("update", "delete", "copy")


class Table:
    """A table's directory: what its log says of each version."""

    def __init__(self, directory, commits):
        self.directory, self.commits = directory, commits
        self._rows = {}
        (metadata,) = [action["metaData"] for action in commits[0] if "metaData" in action]
        self.id, self.name = metadata["id"], metadata["name"].split(".", 1)[1]

    def rows(self, action):
        """The rows of a file, which never change."""
        path = urllib.parse.unquote(action["path"])
        if path not in self._rows:
            file = str(self.directory / path)
            query = "select k, v, tag from read_parquet(?, hive_partitioning = false)"
            found = duckdb.execute(query, [[file]]).fetchall()
            part = action["partitionValues"].get("p")
            self._rows[path] = collections.Counter((*row, part) for row in found)
        return self._rows[path]

    def stored(self):
        """For each version its actions, its files and its rows."""
        files, rows = {}, collections.Counter()
        for version, actions in enumerate(self.commits):
            for action in (action["remove"] for action in actions if "remove" in action):
                assert action["path"] in files, f"{self.name} {version}: {action['path']} goes and was not there"
                rows -= self.rows(files.pop(action["path"]))
            for action in (action["add"] for action in actions if "add" in action):
                assert action["path"] not in files, f"{self.name} {version}: {action['path']} comes twice"
                files[action["path"]] = action
                rows += self.rows(action)
            yield version, actions, set(files), +rows


def tables(data):
    """The shared tables by name."""
    found = {}
    for directory in sorted((data / "warehouse").glob("demo/*")):
        paths = sorted((directory / "_delta_log").glob("*.json"))
        if not paths or paths[0].name != f"{0:020}.json":
            continue
        commits = [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]
        names = [f"{n:020}.json" for n in range(len(paths))]
        assert [path.name for path in paths] == names, f"{directory}: a gap in the log"
        table = Table(directory, commits)
        if table.name in TABLES:
            found[table.name] = table
    assert set(found) == set(TABLES), f"the tables are {sorted(found)}"
    return found


def one(actions, kind):
    """The only action of a kind, or None."""
    found = [action[kind] for action in actions if kind in action]
    assert len(found) < 2, f"several {kind} in one version"
    return found[0] if found else None


def is_meant(statement, row):
    """Whether the condition of a statement holds."""
    k, _, _, part = row
    return k % statement["modulus"] == statement["rest"] and statement.get("p") in (None, part)


def effect(statement, name, rows, source=None):
    """The rows of table `name` after a statement. `source` are those of the other table that it reads."""
    kind, tag, part = statement["kind"], statement["tag"], statement.get("p")
    part = part if name == "shared_parts" else None
    given = collections.Counter((k, v, tag, part) for k, v in statement.get("rows", []))
    if kind == "both":
        kind = "insert" if name == "shared_plain" else "overwrite"
    if kind == "insert":
        keys = {k for k, _ in statement["rows"]} if name == KEYED else set()
        return kept(rows, lambda row: row[0] not in keys) + given
    if kind == "overwrite":
        return kept(rows, lambda row: part is not None and row[3] != part) + given
    if kind == "update":
        change = lambda row: (row[0], row[1] + statement["add"], tag, row[3]) if is_meant(statement, row) else row
        return changed(rows, change)
    if kind == "delete":
        return kept(rows, lambda row: not (is_meant(statement, row) and row[1] > statement["above"]))
    if kind == "rewrite":
        left = kept(rows, lambda row: not is_meant(statement, row))
        return changed(left, lambda row: (row[0], row[1] + 1, tag, row[3]))
    if kind == "append":
        # The condition is one on the source, whose rows have no partition.
        meant = kept(source, lambda row: is_meant({**statement, "p": None}, row))
        return rows + changed(meant, lambda row: (row[0], row[1], tag, part))
    if kind == "merge":
        values = dict(statement["rows"])
        merged = kept(rows, lambda row: values.get(row[0], 1) % 3 != 0)
        return joined(rows, merged, values, lambda row: (row[0], row[1] + values[row[0]], tag, row[3]), tag, part)
    assert kind == "copy", kind
    values = {k: v for k, v, _, _ in source}
    return joined(rows, rows, values, lambda row: (row[0], values[row[0]], tag, row[3]), tag, part)


def joined(before, left, values, change, tag, part):
    """MERGE: rows of `left` with a key of `values` change, and keys that no row had `before` are new."""
    new = set(values) - {row[0] for row in before}
    after = changed(left, lambda row: change(row) if row[0] in values else row)
    return after + collections.Counter((k, values[k], tag, part) for k in new)


def kept(rows, keep):
    return collections.Counter({row: n for row, n in rows.items() if keep(row)})


def changed(rows, change):
    after = collections.Counter()
    for row, n in rows.items():
        after[change(row)] += n
    return after


def is_append(statement, name):
    """Whether rows come and nothing of the table is looked at."""
    kind = statement["kind"]
    return name != KEYED and kind in ("insert", "append") or name == "shared_plain" and kind == "both"


def reads(statement, name):
    """Whether its result depends on the rows of the table."""
    overwrites = statement["kind"] == "overwrite" or statement["kind"] == "both" and name == "shared_parts"
    return not overwrites and not is_append(statement, name)


class Replay:
    """One table: `states[n]` are the rows of version n, `by[n]` the statement that made it, if one did.

    `version_of` has the versions by instance, `own` those of each writer with the numbers of its statements.
    """

    def __init__(self, table, statements, others):
        self.table, self.statements, self.others = table, statements, others
        self.states, self.by, self.empty = [], [], set()
        self.version_of, self.own = {}, collections.defaultdict(list)

    def run(self):
        for version, actions, files, stored in self.table.stored():
            place = f"{self.table.name}, version {version}"
            rows = self.after(place, version, actions) if version else collections.Counter()
            assert stored == rows, f"{place}, {self.by[-1:]}: is without {rows - stored} and has {stored - rows}"
            if self.table.name == KEYED:
                twice = [key for key, n in collections.Counter(row[0] for row in stored.elements()).items() if n > 1]
                assert not twice, f"{place}: two rows of the keys {twice}"
            self.states.append(stored)
            if version % OPENED == 0 or version == len(self.table.commits) - 1:
                self.open(place, version, files)
        return self

    def after(self, place, version, actions):
        """The rows that the version must have."""
        info, txn = one(actions, "commitInfo"), one(actions, "txn")
        self.by.extend([None] * (version - len(self.by)))
        if info["operation"] == "OPTIMIZE":
            self.by.append(None)
            return self.states[-1]
        assert txn and txn["appId"] in self.statements, f"{place}: nobody submitted {txn}"
        statement = self.statements[txn["appId"]]
        self.by.append(statement)
        if not any("add" in action or "remove" in action for action in actions):
            self.empty.add(version)
        assert self.table.name in statement["tables"], f"{place}: {statement} is not about it"
        assert statement["outcome"] == "done", f"{place}: {statement} changed something"
        assert txn["appId"] not in self.version_of, f"{place}: {statement} a second time"
        self.version_of[txn["appId"]] = version
        own = self.own[statement["writer"]]
        assert not own or own[-1][0] < statement["seq"], f"{place}: {statement} comes behind what its writer did later"
        begun = own[-1][1] if own else 0
        own.append((statement["seq"], version))
        blind = is_append(statement, self.table.name)
        assert info["isBlindAppend"] == blind, f"{place}: {info} of {statement}"
        read = info["readVersion"]
        assert 0 <= read < version, f"{place}: read version {read}"
        source = None
        if of := statement.get("from"):
            other = self.others[of]
            source = other.states[info["readTables"][other.table.id]]
        before = self.states[-1]
        assert read >= begun, f"{place}: {statement} has not read version {begun} of its own writer"
        if not reads(statement, self.table.name):
            return effect(statement, self.table.name, before, source)
        # Whoever overwrote no rows with no rows is in the log and changed nothing.
        between = [self.by[n] for n in range(read + 1, version) if self.by[n] is not None and n not in self.empty]
        spares = statement["kind"] in ("update", "delete")
        changing = [other for other in between if not (spares and is_append(other, self.table.name))]
        assert not changing, f"{place}: {statement} read version {read} and comes behind {changing}"
        # What was appended meanwhile comes behind it.
        appended = before - self.states[read]
        return effect(statement, self.table.name, self.states[read], source) + appended

    def while_it_ran(self, statement):
        """The states that a statement without a version may have read: between what its writer did before and next."""
        own = self.own[statement["writer"]]
        first = max((version for seq, version in own if seq < statement["seq"]), default=0)
        last = min((version for seq, version in own if seq > statement["seq"]), default=len(self.states))
        return self.states[first : last + 1]

    def open(self, place, version, files):
        """Other people's reader finds the same files."""
        delta = DeltaTable(str(self.table.directory), version=version)
        found = {Path(uri).relative_to(self.table.directory).as_posix() for uri in delta.file_uris()}
        wanted = {urllib.parse.unquote(path) for path in files}
        assert found == wanted, f"{place}: deltalake finds {sorted(found ^ wanted)} otherwise"


def check_once(statements, replays):
    """Acknowledged statements are in the log of each of their tables, unless they had nothing to do there."""
    nothing = 0
    for instance, statement in statements.items():
        missing = [name for name in statement["tables"] if instance not in replays[name].version_of]
        if statement["outcome"] != "done" or not missing:
            continue
        assert statement["kind"] in MAY_DO_NOTHING, f"{statement} was acknowledged and is not in the log of {missing}"
        (name,) = missing
        if statement["kind"] == "copy":
            nothing_to_do = any(not state for state in replays[statement["from"]].while_it_ran(statement))
        else:
            nothing_to_do = any(effect(statement, name, s) == s for s in replays[name].while_it_ran(statement))
        assert nothing_to_do, f"{statement} has not happened, and there was always something to do"
        nothing += 1
    return nothing


def main():
    data, given = Path(sys.argv[1]).resolve(), json.loads(Path(sys.argv[2]).read_text())
    statements = {statement["instance"]: statement for statement in given}
    assert len(statements) == len(given), "two statements are one instance"
    found, replays = tables(data), {}
    # The one that others read comes first.
    for name in TABLES:
        replays[name] = Replay(found[name], statements, replays).run()
    nothing = check_once(statements, replays)
    outcomes = collections.Counter(statement["outcome"] for statement in given)
    versions = sum(len(replay.states) for replay in replays.values())
    kinds = collections.Counter(by["kind"] for replay in replays.values() for by in replay.by if by)
    print(f"{versions} versions of {len(replays)} tables are what the statements make of each other, one after the other")
    told = f"{outcomes['done']} statements done, {outcomes['overtaken']} overtaken, {nothing} without a row to change"
    print(f"{told}: " + ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())))
    joins = sum(by is None for replay in replays.values() for by in replay.by[1:])
    print(f"{joins} versions that join files; opened by deltalake: every {OPENED}th and the last")
    assert len(kinds) >= 7, f"too few kinds of statements: {kinds}"


if __name__ == "__main__":
    main()
