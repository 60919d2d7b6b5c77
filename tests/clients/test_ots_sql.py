"""SQL over tables of the table store: PyODPS on one side, the SDK of Tablestore on the other.

Expected values are the rows that the SDK wrote, or sums that Python makes of them. What is said of refusals are our own
words. Read units are the service's rule: the bytes of the keys and columns that were looked at, in steps of 4096.
"""

import unittest

from odps import errors
from tablestore import (
    INF_MAX,
    INF_MIN,
    PK_AUTO_INCR,
    BatchWriteRowRequest,
    CapacityUnit,
    PutRowItem,
    Row,
    SecondaryIndexMeta,
    SecondaryIndexType,
    TableInBatchWriteRowItem,
)

import harness
import ots
from harness import ClientCase
from ots import IGNORE

HANDLER = "com.aliyun.odps.TableStoreStorageHandler"
# Rows of the large table. A batch of the service takes 200.
COUNT = 20_000
BATCH = 200
KEYS = [("customer", "STRING"), ("id", "INTEGER")]
MAPPING = ":customer, :id, total, paid, note, raw"
COLUMNS = "c string, n bigint, total double, paid boolean, note string, raw binary"


def order(n):
    """Row `n`: its key and its columns. Every seventh has no note, every eleventh no total."""
    columns = [("paid", n % 2 == 0), ("raw", bytearray(n.to_bytes(4, "big")))]
    if n % 7:
        columns.append(("note", f"Bestellung {n} 字"))
    if n % 11:
        # Halves and quarters add up without a rest, in any order.
        columns.append(("total", n / 4))
    return ("customer", f"c{n % 50:02d}"), ("id", n), columns


def load(client, table, count):
    """Writes the first rows; the batches of the SDK."""
    for first in range(0, count, BATCH):
        items = []
        for n in range(first, min(first + BATCH, count)):
            *key, columns = order(n)
            items.append(PutRowItem(Row(key, columns), IGNORE))
        request = BatchWriteRowRequest()
        request.add(TableInBatchWriteRowItem(table, items))
        done = client.batch_write_row(request)
        if not done.is_all_succeed():
            raise AssertionError(f"a batch of {table} was not written")


def contents(client, table, keys):
    """All rows as the SDK reads them: {key: {column: value}}."""
    low, high = ([(name, bound) for name, _ in keys] for bound in (INF_MIN, INF_MAX))
    rows = client.xget_range(table, "FORWARD", low, high, CapacityUnit(0, 0))
    return {
        tuple(value for _, value in row.primary_key): {name: value for name, value, _ in row.attribute_columns}
        for row in rows
    }


class OtsSql(ClientCase):
    def setUp(self):
        super().setUp()
        self.use(ots.new_instance(self.server))

    def use(self, instance):
        self.instance = instance
        self.ots = ots.sdk(self.server, instance)

    def external(self, columns, mapping, table, more="", instance=None, entry=None, name=None):
        """A table of SQL over one of the table store."""
        name = name or self.name("ots")
        options = f"'tablestore.columns.mapping'='{mapping}', 'tablestore.table.name'='{table}'{more}"
        (entry or self.o).execute_sql(
            f"create external table {name} ({columns}) stored by '{HANDLER}' with serdeproperties ({options}) "
            f"location 'tablestore://{instance or self.instance}.cn-local.tablestore.aliyuncs.com'"
        )
        return name

    def orders(self, count, **options):
        ots.create(self.ots, "orders", KEYS)
        load(self.ots, "orders", count)
        return self.external(COLUMNS, MAPPING, "orders", **options)

    def read_units(self, table="orders"):
        used = self.server.cli("ots", "instance", "tables", self.instance)
        (units,) = [row["read_units"] for row in used if row["table"] == table and not row.get("index")]
        return units

    def refused(self, sql, *words, entry=None):
        with self.assertRaises(errors.ODPSError) as caught:
            (entry or self.o).execute_sql(sql)
        text = str(caught.exception)
        for word in words:
            self.assertIn(word, text)
        return text


class Reading(OtsSql):
    def test_a_large_table_is_read_joined_and_moved_out_whole(self):
        name = self.orders(COUNT)
        rows = [order(n)[2] for n in range(COUNT)]
        totals = [dict(columns).get("total") for columns in rows]
        notes = [dict(columns).get("note") for columns in rows]
        wanted = (
            COUNT,
            sum(range(COUNT)),
            sum(total for total in totals if total is not None),
            sum(total is not None for total in totals),
            sum(len(note) for note in notes if note is not None),
            sum(note is None for note in notes),
            COUNT // 2,
            4 * COUNT,
            50,
        )
        sums = (
            "select count(*), sum(n), sum(total), count(total), sum(length(note)), sum(if(note is null, 1, 0)), "
            "sum(if(paid, 1, 0)), sum(length(raw)), count(distinct c) from {}"
        )
        self.assertEqual(self.query(sums.format(name)), [wanted])
        # Out of the table store, once by INSERT and once by CREATE TABLE AS.
        inside = self.table(COLUMNS).name
        self.o.execute_sql(f"insert into {inside} select * from {name}")
        self.assertEqual(self.query(sums.format(inside)), [wanted])
        other = self.name()
        self.o.execute_sql(f"create table {other} as select * from {name}")
        difference = f"(select * from {name} except all select * from {other})"
        self.assertEqual(self.query(f"select count(*) from {difference} d"), [(0,)])
        # A join with a table of the warehouse: three customers with 400 rows each.
        friends = self.table("who string, since bigint")
        self.o.write_table(friends.name, [["c01", 1], ["c02", 2], ["c49", 3], ["nobody", 4]])
        joined = self.query(f"select since, count(*), sum(n) from {name} join {friends.name} on c = who group by since")
        of = {customer: [n for n in range(COUNT) if n % 50 == customer] for customer in (1, 2, 49)}
        self.assertEqual(
            sorted(joined), [(1, len(of[1]), sum(of[1])), (2, len(of[2]), sum(of[2])), (3, len(of[49]), sum(of[49]))]
        )
        # And into another table of the table store.
        ots.create(self.ots, "copies", KEYS)
        copies = self.external(COLUMNS, MAPPING, "copies")
        self.o.execute_sql(f"insert into {copies} select * from {inside}")
        self.assertEqual(self.query(sums.format(copies)), [wanted])
        self.assertEqual(contents(self.ots, "copies", KEYS), contents(self.ots, "orders", KEYS))

    def test_only_the_keys_that_are_asked_for_are_read(self):
        name = self.orders(3000)
        # Each question, the rows that it has, and the ranges that EXPLAIN tells.
        customer = [n for n in range(3000) if n % 50 == 7]
        for condition, wanted, ranges in (
            ("c = 'c07'", customer, "ranges=[('c07', -inf), ('c07', +inf))"),
            ("c = 'c07' and n >= 1000 and n < 1200", customer[20:24], "ranges=[('c07', 1000), ('c07', 1200))"),
            ("c = 'c07' and n between 7 and 107", [7, 57, 107], "ranges=[('c07', 7), ('c07', 108))"),
            ("c in ('c07', 'none') and n = 57", [57], "ranges=[('c07', 57), ('c07', 58)) [('none', 57), ('none', 58))"),
            ("c > 'c48'", [n for n in range(3000) if n % 50 == 49], "ranges=[('c48\\0', -inf), (+inf, +inf))"),
            ("c = 'c07' and c = 'c08'", [], None),
            ("c = 'c07' and note is null", [n for n in customer if n % 7 == 0], "ranges=[('c07', -inf), ('c07', +inf))"),
        ):
            with self.subTest(condition=condition):
                before = self.read_units()
                self.assertEqual(sorted(n for (n,) in self.query(f"select n from {name} where {condition}")), wanted)
                used = self.read_units() - before
                if ranges is not None:
                    plan = self.text(f"explain select n from {name} where {condition}")
                    self.assertIn(ranges, plan)
                    self.assertIn(f"tablestore://{self.instance}/orders", plan)
                # 60 rows of a customer have fewer than 4096 bytes of keys and notes; each range costs one unit at least.
                self.assertLessEqual(used, 2)
        before = self.read_units()
        self.assertEqual(len(self.query(f"select c, n, note from {name} where note <> ''")), 3000 - len(range(0, 3000, 7)))
        whole = self.read_units() - before
        # 3000 keys of at least 21 bytes each: "customer" and "id", three characters and a number.
        self.assertGreaterEqual(whole, 3000 * 21 // 4096)
        self.assertIn("ranges=all", self.text(f"explain select n from {name} where n = 5"))

    def test_columns_and_limits_go_down(self):
        name = self.orders(1000)
        plan = self.text(f"explain select note from {name} limit 3")
        self.assertIn("columns=[note]", plan)
        self.assertIn("limit=3", plan)
        before = self.read_units()
        self.assertEqual(len(self.query(f"select note from {name} limit 3")), 3)
        self.assertEqual(self.read_units() - before, 1)
        self.assertEqual(self.query(f"select count(*) from {name}"), [(1000,)])

    def test_keys_of_every_type_and_rows_without_columns(self):
        keys = [("b", "BINARY"), ("s", "STRING"), ("i", "INTEGER")]
        ots.create(self.ots, "kinds", keys)
        wanted = []
        for b in (b"", b"\0", b"\xff"):
            for s in ("", "\0x", "字"):
                for i in (-(2**63), -1, 0, 2**63 - 1):
                    row = [("b", bytearray(b)), ("s", s), ("i", i)]
                    self.ots.put_row("kinds", Row(row, [("other", 1)]), IGNORE)
                    wanted.append((b, s, i, None))
        name = self.external("k binary, s string, i bigint, v bigint", ":b,:s,:i,v", "kinds")
        found = self.query(f"select k, s, i, v from {name}")
        self.assertEqual(sorted((bytes(k), s, i, v) for k, s, i, v in found), sorted(wanted))
        self.assertEqual(self.query(f"select count(*) from {name} where i = {2**63 - 1}"), [(9,)])
        self.assertEqual(self.query(f"select count(*) from {name} where i > {2**63 - 2}"), [(9,)])

    def test_a_cell_of_another_type_is_named(self):
        ots.create(self.ots, "mixed", [("k", "STRING")])
        self.ots.put_row("mixed", Row([("k", "a")], [("v", 1)]), IGNORE)
        self.ots.put_row("mixed", Row([("k", "b")], [("v", "two")]), IGNORE)
        name = self.external("k string, v bigint", ":k,v", "mixed")
        self.assertEqual(self.query(f"select v from {name} where k = 'a'"), [(1,)])
        # Who does not ask for the column does not see it.
        self.assertEqual(sorted(self.query(f"select k from {name}")), [("a",), ("b",)])
        with self.assertRaises(errors.ODPSError) as caught:
            self.query(f"select v from {name}")
        for words in (f"tablestore://{self.instance}/mixed", "k='b'", "column v holds STRING", "is BIGINT"):
            self.assertIn(words, str(caught.exception))

    def test_the_newest_version_is_read(self):
        ots.create(self.ots, "versions", [("k", "STRING")], versions=3)
        for value in (1, 2, 3):
            self.ots.update_row("versions", Row([("k", "a")], {"PUT": [("v", value)]}), IGNORE)
        name = self.external("k string, v bigint", ":k,v", "versions")
        self.assertEqual(self.query(f"select k, v from {name}"), [("a", 3)])


class Writing(OtsSql):
    def table_of_two(self, more=""):
        ots.create(self.ots, "t", [("a", "STRING"), ("b", "INTEGER")])
        return self.external("a string, b bigint, v double, w string", ":a,:b,v,w", "t", more)

    def rows_of(self):
        return contents(self.ots, "t", [("a", "STRING"), ("b", "INTEGER")])

    def test_an_insert_changes_the_columns_that_it_names(self):
        name = self.table_of_two()
        self.ots.put_row("t", Row([("a", "x"), ("b", 1)], [("v", 0.5), ("w", "old"), ("hidden", "stays")]), IGNORE)
        self.o.execute_sql(f"insert into {name} values ('x', 1, 1.5, null), ('y', 2, null, 'new'), ('z', 3, null, null)")
        # MaxCompute documentation, "Create a Tablestore external table": columns that are not named are not changed.
        self.assertEqual(
            self.rows_of(), {("x", 1): {"v": 1.5, "hidden": "stays"}, ("y", 2): {"w": "new"}, ("z", 3): {}}
        )
        self.o.execute_sql(f"insert into {name} (b, a) values (1, 'x')")
        self.assertEqual(self.rows_of()[("x", 1)], {"hidden": "stays"})
        self.assertEqual(self.query(f"select count(*) from {name}"), [(3,)])
        # The same page: its INSERT OVERWRITE changes the rows of the keys that are written, and no others.
        self.o.execute_sql(f"insert overwrite table {name} values ('x', 1, 2.5, null), ('new', 4, null, 'w')")
        self.assertEqual(
            self.rows_of(),
            {("x", 1): {"v": 2.5, "hidden": "stays"}, ("y", 2): {"w": "new"}, ("z", 3): {}, ("new", 4): {"w": "w"}},
        )

    def test_a_row_is_put_whole_if_the_table_or_the_session_says_so(self):
        name = self.table_of_two(", 'tablestore.table.put.row'='true'")
        self.ots.put_row("t", Row([("a", "x"), ("b", 1)], [("v", 0.5), ("hidden", "goes")]), IGNORE)
        self.o.execute_sql(f"insert into {name} values ('x', 1, null, 'w')")
        self.assertEqual(self.rows_of(), {("x", 1): {"w": "w"}})
        # MaxCompute documentation, "Flag parameters": writing with PutRow, for a session.
        plain = self.external("a string, b bigint, v double, w string", ":a,:b,v,w", "t")
        for value, wanted in (("false", {"v": 1.5, "hidden": "old"}), ("true", {"v": 1.5})):
            self.ots.put_row("t", Row([("a", "x"), ("b", 1)], [("hidden", "old")]), IGNORE)
            flag = {"odps.sql.unstructured.tablestore.put.row": value}
            self.o.execute_sql(f"insert into {plain} values ('x', 1, 1.5, null)", hints=flag)
            self.assertEqual(self.rows_of(), {("x", 1): wanted})

    def test_a_table_of_keys_alone_takes_rows_and_keeps_columns(self):
        ots.create(self.ots, "t", [("a", "STRING"), ("b", "INTEGER")])
        self.ots.put_row("t", Row([("a", "x"), ("b", 1)], [("v", 0.5)]), IGNORE)
        name = self.external("a string, b bigint", ":a,:b", "t")
        self.o.execute_sql(f"insert into {name} values ('x', 1), ('y', 2), ('y', 2)")
        self.assertEqual(self.rows_of(), {("x", 1): {"v": 0.5}, ("y", 2): {}})

    def test_the_key_cannot_be_null_and_must_be_given(self):
        name = self.table_of_two()
        self.refused(f"insert into {name} values ('x', 1, 0.5, 'w'), ('y', null, 0.5, 'w')", "column b", "cannot be NULL")
        self.assertEqual(self.rows_of(), {})
        self.refused(f"insert into {name} (a, v) values ('x', 0.5)", "column b is part of the key")
        self.refused(f"insert into {name} values ('x', 1, cast('NaN' as double), 'w')", "OTSParameterInvalid", "a='x', b=1")
        long = "x" * 1025
        self.refused(f"insert into {name} values ('{long}', 1, 0.5, 'w')", "OTSParameterInvalid", "MaxLength:1024", "b=1")
        self.refused(f"insert into {name} select 'x', 1, 0.5, repeat('w', {(2 << 20) + 1})", "MaxLength:2097152", "a='x'")
        self.assertEqual(self.rows_of(), {})

    def test_a_job_that_is_stopped_writes_no_more(self):
        source = self.many()
        name = self.table_of_two()
        count = f"select count(*) from {name}"
        job = self.o.run_sql(f"insert into {name} select concat('row ', cast(n as string)), n, 0.5, 'x' from {source}")
        self.addCleanup(self.end, job)
        harness.wait_for("the first row", lambda: self.query(count)[0][0] > 0)
        job.stop()
        harness.wait_for("the end of the job", job.is_terminated)
        # A batch may be on its way; nothing follows it.
        harness.wait_for("the end of writing", lambda: self.query(count) == self.query(count))
        self.assertLess(self.query(count)[0][0], 300_000)

    def test_what_the_table_store_has_no_word_for_is_refused(self):
        name = self.table_of_two()
        self.refused(f"insert into {name} select concat(a, 'x'), b, v, w from {name}", "ODPS-0121125", "reads it")
        for sql in (
            f"update {name} set v = 1",
            f"delete from {name} where b = 1",
            f"merge into {name} t using (select 1 as b) s on t.b = s.b when matched then delete",
            f"truncate table {name}",
            f"alter table {name} add columns (x string)",
            f"alter table {name} add partition (ds = '1')",
            f"msck repair table {name} add partitions",
            f"insert into {name} partition (ds = '1') values ('x', 1, 0.5, 'w')",
        ):
            with self.subTest(sql=sql):
                self.refused(sql)
        with self.assertRaises(errors.ODPSError):
            self.o.write_table(name, [["x", 1, 0.5, "w"]])
        self.assertEqual(self.rows_of(), {})
        ots.create(self.ots, "auto", [("a", "STRING"), ("id", "INTEGER", PK_AUTO_INCR)])
        auto = self.external("a string, id bigint, v bigint", ":a,:id,v", "auto")
        self.refused(f"insert into {auto} values ('x', 1, 2)", "ODPS-0121125", "id")

    def test_an_index_is_read_and_not_written(self):
        index = SecondaryIndexMeta("by_v", ["v"], [], SecondaryIndexType.GLOBAL_INDEX)
        ots.create(self.ots, "indexed", [("a", "STRING")], columns=[("v", "INTEGER")], indexes=[index])
        table = self.external("a string, v bigint", ":a,v", "indexed")
        by_v = self.external("v bigint, a string", ":v,:a", "by_v")
        self.o.execute_sql(f"insert into {table} values ('x', 3), ('y', 1), ('z', 2)")
        self.assertEqual(self.query(f"select v, a from {by_v} where v >= 2 order by v limit 5"), [(2, "z"), (3, "x")])
        self.refused(f"insert into {by_v} values (4, 'w')", "ODPS-0121125", "an index of indexed")
        # It would find the rows that it has just written, for ever.
        self.refused(f"insert into {table} select a, v + 1 from {by_v}", "ODPS-0121125", "reads it")
        self.assertEqual(len(contents(self.ots, "indexed", [("a", "STRING")])), 3)


class Tables(OtsSql):
    def test_it_is_described_like_other_external_tables(self):
        ots.create(self.ots, "t", [("a", "STRING")])
        name = self.external("a string comment 'k', v bigint", ":a,v", "t")
        table = self.o.get_table(name)
        self.assertEqual(table.type.value, "EXTERNAL_TABLE")
        self.assertEqual(table.storage_handler, HANDLER)
        self.assertEqual(table.location, f"tablestore://{self.instance}.cn-local.tablestore.aliyuncs.com")
        self.assertEqual(table.serde_properties["tablestore.table.name"], "t")
        said = self.text(f"desc extended {name}")
        self.assertIn("ExternalTable: YES", said)
        self.assertIn(HANDLER, said)
        made = self.text(f"show create table {name}")
        self.assertIn("'tablestore.columns.mapping'=':a,v'", made)
        self.o.execute_sql(f"alter table {name} set comment 'renamed'")
        other = self.name("ots")
        self.o.execute_sql(f"alter table {name} rename to {other}")
        # What SHOW CREATE TABLE printed makes it again, and dropping one leaves the rows to the other.
        self.o.execute_sql(made)
        self.o.execute_sql(f"insert into {name} values ('x', 1)")
        self.o.execute_sql(f"drop table {name}")
        self.assertEqual(self.query(f"select a, v from {other}"), [("x", 1)])

    def test_what_does_not_fit_the_table_is_refused(self):
        ots.create(self.ots, "t", [("a", "STRING"), ("b", "INTEGER")])
        for columns, mapping, words in (
            ("a string, v bigint", ":a,v", "(:a)"),
            ("b bigint, a string", ":b,:a", "(:b, :a)"),
            ("a string, b string", ":a,:b", "BIGINT"),
            ("a string, b bigint, v timestamp", ":a,:b,v", "TIMESTAMP"),
            ("a string, b bigint", ":a,:b,v", "3 columns"),
            ("a string, b bigint, v bigint", ":a,:b,:v", "(:a, :b, :v)"),
        ):
            with self.subTest(columns=columns, mapping=mapping):
                with self.assertRaises(errors.ODPSError) as caught:
                    self.external(columns, mapping, "t")
                self.assertIn(words, str(caught.exception))
        with self.assertRaises(errors.ODPSError) as caught:
            self.external("a string", ":a", "missing")
        self.assertIn("no table 'missing'", str(caught.exception))
        # A table that came again with another key is another table.
        name = self.external("a string, b bigint", ":a,:b", "t")
        self.ots.delete_table("t")
        self.refused(f"select count(*) from {name}", "no table 't'")
        ots.create(self.ots, "t", [("a", "STRING")])
        self.refused(f"select count(*) from {name}", "(:a)")

    def test_an_instance_of_somebody_else_is_as_one_that_is_not_there(self):
        ots.create(self.ots, "t", [("a", "STRING")])
        self.ots.put_row("t", Row([("a", "secret")], []), IGNORE)
        ours = self.external("a string", ":a", "t")
        who = "ALIYUN$" + harness.unique("someone")
        self.server.cli("account", "create", who)
        key = self.server.cli("key", "create", "--account", who)
        project = harness.unique("theirs")
        self.server.cli("project", "create", project, "--owner", who)
        login = {"access_id": key["access_id"], "secret_access_key": key["secret"]}
        theirs = self.server.entry(project=project, **login)
        said = []
        for instance in (self.instance, "nobody-has-it"):
            with self.assertRaises(errors.ODPSError) as caught:
                self.external("a string", ":a", "t", instance=instance, entry=theirs, name="t")
            said.append(str(caught.exception).replace(instance, "…"))
            self.assertIn("there is no instance", said[-1])
        # The same words; request ids differ.
        tail = [text[text.index("LOCATION") :].splitlines()[0] for text in said]
        self.assertEqual(tail[0], tail[1])
        # One who was admitted to the project may read its tables, and not the instances of its owner.
        self.server.cli("project", "admit", "demo", who)
        guest = self.server.entry(**login)
        self.refused(f"select * from {ours}", "there is no instance", entry=guest)
        self.refused(f"insert into {ours} values ('x')", "there is no instance", entry=guest)
        self.assertEqual(self.query(f"select a from {ours}"), [("secret",)])


class Deaths(unittest.TestCase):
    def test_rows_are_the_same_wherever_the_server_dies(self):
        for step in ("after_rows", "before_step"):
            with self.subTest(step=step):
                self.die(step)

    def die(self, step):
        server = harness.Server(meta=harness.new_database())
        self.addCleanup(server.close)
        server.start()
        client = ots.sdk(server, "demo")
        ots.create(client, "t", [("k", "INTEGER")])
        entry = server.entry()
        entry.execute_sql(
            f"create external table t (k bigint, v string) stored by '{HANDLER}' with serdeproperties "
            "('tablestore.columns.mapping'=':k,v', 'tablestore.table.name'='t') location 'tablestore://demo'"
        )
        entry.create_table("numbers", "n bigint")
        entry.write_table("numbers", [[n] for n in range(2500)])
        server.stop()
        server.variables = {"FEITIAN_FAILPOINTS": f"external.{step}"}
        server.start()
        job = entry.run_sql("insert into t select n, concat('row ', cast(n as string)) from numbers")
        self.assertEqual(server.process.wait(harness.DEADLINE_S), -9)
        server.variables = {}
        server.start()
        job.wait_for_success()
        rows = contents(ots.sdk(server, "demo"), "t", [("k", "INTEGER")])
        self.assertEqual(rows, {(n,): {"v": f"row {n}"} for n in range(2500)})


if __name__ == "__main__":
    unittest.main()
