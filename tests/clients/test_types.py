"""Every type that client and server share keeps its values, whichever way they come in and go out.

Expected values are the values written. CHAR alone comes back changed: MaxCompute pads it with blanks to its length.
"""

import datetime
import decimal
import unittest

import pandas as pd
from odps import errors, options
from odps.compat import Monthdelta

from harness import ClientCase

D = decimal.Decimal
AT = datetime.datetime(2024, 1, 2, 3, 4, 5, 500_000)
INSTANT = pd.Timestamp("2024-01-02 03:04:05.123456789")
# Inside a nested type there is no room for a hidden column, hence no nanoseconds (docs/types-on-disk.md).
COARSE = pd.Timestamp("2024-01-02 03:04:05.123456")

# Type as MaxCompute prints it, and values of it; every type is also tried with NULL.
PLAIN = {
    "tinyint": [0, -128, 127],
    "smallint": [0, -32_768, 32_767],
    "int": [0, -(2**31), 2**31 - 1],
    "bigint": [0, -(2**63) + 1, 2**63 - 1],
    # Both floats are sums of few powers of two, so that no rounding can tell them apart.
    "float": [0.0, -0.15625, 1.5 * 2.0**100],
    "double": [0.1, -1.7976931348623157e308, 5e-324],
    "boolean": [True, False],
    "string": ["", "飞天 \U0001f680", "a,\"b\"\n\tc\\N", "\x00\x01", "x" * 100_000],
    "varchar(5)": ["", "飞天abc"],
    "binary": [b"", bytes(range(256))],
    "date": [datetime.date(1970, 1, 1), datetime.date(1900, 2, 28), datetime.date(9999, 12, 31)],
    "datetime": [AT, datetime.datetime(1970, 1, 1, 8, 0), datetime.datetime(9999, 12, 31, 23, 59, 59)],
    "timestamp": [INSTANT, pd.Timestamp("1970-01-01 08:00:00"), pd.Timestamp("2262-04-11 23:47:16.854775")],
    "timestamp_ntz": [INSTANT, pd.Timestamp("1970-01-01 00:00:00.000000001")],
    "decimal(38,18)": [D("0"), D("-12345678901234567890.123456789012345678"), D("99999999999999999999")],
    "decimal(10,2)": [D("12345678.90"), D("-0.01")],
    "interval_day_time": [pd.Timedelta(0), pd.Timedelta(seconds=-1.5), pd.Timedelta(days=400, seconds=5, nanoseconds=7)],
    "interval_year_month": [Monthdelta(0), Monthdelta(-25), Monthdelta(1200)],
    "json": [{"a": [1, 2.5, None, "飞"]}, [], "text"],
}
NESTED = {
    "array<bigint>": [[], [1, None, -(2**62)]],
    "array<string>": [["", None, "飞天"]],
    "array<array<int>>": [[[1], None, []]],
    "map<string,bigint>": [{}, {"a": 1, "b": None}],
    "map<int,array<string>>": [{1: ["x", None], 2: []}],
    "struct<a:bigint,b:string>": [(1, "x"), (None, None)],
    "struct<a:struct<b:array<double>>,c:map<string,date>>": [(([0.5, None],), {"k": datetime.date(2024, 2, 29)})],
    "array<struct<x:tinyint,y:decimal(10,2)>>": [[(1, D("2.50")), None]],
    "array<timestamp>": [[COARSE, None]],
    "map<string,datetime>": [{"at": AT}],
}
ALL = {**PLAIN, **NESTED}
# odps/tunnel/io/types.py, odps_type_to_arrow_type: the client has no Arrow form for these.
NO_ARROW = ("json", "interval_year_month")
# The client's Arrow path converts the zone of timestamps at the top level only (writer.py, BaseArrowWriter.write), so
# that a nested one is an instant on one path and a wall clock on the other; its own documentation advises records.
IN_ARROW = [kind for kind in ALL if kind not in (*NO_ARROW, "array<timestamp>", "map<string,datetime>")]


class Types(ClientCase):
    def fresh(self, kind):
        return self.table(f"k bigint, v {kind}")

    def written(self, kind):
        """A table with every value of `kind`, then NULL, and the rows that it must show."""
        table = self.fresh(kind)
        rows = list(enumerate([*ALL[kind], None]))
        self.o.write_table(table, [list(row) for row in rows])
        return table, rows

    def each(self, kinds, check):
        for kind in kinds:
            with self.subTest(kind=kind):
                check(kind)

    def test_table_reports_the_type_it_was_made_with(self):
        def check_kind(kind):
            table = self.fresh(kind)
            table.reload()
            self.assertEqual(table.table_schema["v"].type, kind)

        self.each(ALL, check_kind)

    def test_records_keep_values(self):
        def check_kind(kind):
            table, rows = self.written(kind)
            self.assertEqual(self.rows(table), rows)

        self.each(ALL, check_kind)

    def test_arrow_keeps_values(self):
        def check_kind(kind):
            source, rows = self.written(kind)
            target = self.fresh(kind)
            with source.open_reader(arrow=True, reopen=True) as reader:
                batches = list(reader)
            with target.open_writer(arrow=True) as writer:
                for batch in batches:
                    writer.write(batch)
            self.assertEqual(self.rows(target), rows)

        self.each(IN_ARROW, check_kind)

    def test_query_results_keep_values(self):
        def check_kind(kind):
            table, rows = self.written(kind)
            self.assertEqual(self.query(f"SELECT k, v FROM {table.name} ORDER BY k LIMIT 100"), rows)

        self.each(ALL, check_kind)

    def test_query_results_keep_values_in_arrow(self):
        def check_kind(kind):
            table, rows = self.written(kind)
            target = self.fresh(kind)
            job = self.o.execute_sql(f"SELECT k, v FROM {table.name} ORDER BY k LIMIT 100")
            with job.open_reader(tunnel=True, arrow=True) as reader, target.open_writer(arrow=True) as writer:
                for batch in reader:
                    writer.write(batch)
            self.assertEqual(self.rows(target), rows)

        self.each(IN_ARROW, check_kind)

    def test_insert_select_keeps_values(self):
        def check_kind(kind):
            table, rows = self.written(kind)
            target = self.fresh(kind)
            self.o.execute_sql(f"INSERT INTO {target.name} SELECT k, v FROM {table.name}")
            self.assertEqual(sorted(self.rows(target), key=lambda r: r[0]), rows)

        self.each(ALL, check_kind)

    def test_create_table_as_keeps_type_and_values(self):
        def check_kind(kind):
            table, rows = self.written(kind)
            copy = self.name()
            self.o.execute_sql(f"CREATE TABLE {copy} AS SELECT k, v FROM {table.name}")
            self.assertEqual(self.o.get_table(copy).table_schema["v"].type, kind)
            self.assertEqual(sorted(self.rows(copy), key=lambda r: r[0]), rows)

        self.each(ALL, check_kind)

    def test_char_is_padded_with_blanks(self):
        table = self.table("v char(5)")
        self.o.write_table(table, [["ab"], ["飞"], [""], [None]])
        self.assertEqual(self.rows(table), [("ab   ",), ("飞    ",), ("     ",), (None,)])

    def test_bare_decimal_is_38_18(self):
        # MaxCompute documentation, data types 2.0: DECIMAL is DECIMAL(38,18).
        table = self.table("v decimal")
        table.reload()
        self.assertEqual(table.table_schema["v"].type, "decimal(38,18)")
        self.o.write_table(table, [[D("1.5")]])
        self.assertEqual(self.rows(table), [(D("1.5"),)])

    def test_struct_field_names_are_lower_case(self):
        # odps/types.py lower-cases a type text before it parses it, while DDL that it makes is in upper case.
        table = self.table("v struct<Ab:bigint>")
        table.reload()
        self.assertEqual(table.table_schema["v"].type, "struct<ab:bigint>")

    def test_datetime_text_is_in_the_zone_of_the_project(self):
        # The run's zone is the project's, Asia/Shanghai, so that the text is the value as this process prints it.
        table = self.table("d datetime, t timestamp, n timestamp_ntz")
        self.o.write_table(table, [[datetime.datetime(2024, 1, 2, 3, 4, 5), INSTANT, INSTANT]])
        sql = f"SELECT CAST(d AS STRING), CAST(t AS STRING), CAST(n AS STRING) FROM {table.name}"
        nanos = "2024-01-02 03:04:05.123456789"
        self.assertEqual(self.query(sql), [("2024-01-02 03:04:05", nanos, nanos)])

    def test_a_zone_of_the_client_moves_instants_and_no_wall_clock(self):
        table = self.table("t timestamp, n timestamp_ntz")
        self.o.write_table(table, [[INSTANT, INSTANT]])
        saved = options.local_timezone
        self.addCleanup(setattr, options, "local_timezone", saved)
        options.local_timezone = "UTC"
        ((instant, clock),) = self.rows(table)
        # Asia/Shanghai is eight hours before UTC.
        self.assertEqual(instant.tz_localize(None), INSTANT - pd.Timedelta(hours=8))
        self.assertEqual(clock, INSTANT)

    def test_not_null_refuses_null_and_names_the_column(self):
        name = self.name()
        self.o.execute_sql(f"CREATE TABLE {name} (a BIGINT NOT NULL, b STRING)")
        session = self.tunnel().create_upload_session(name)
        with self.assertRaises(errors.ODPSError) as caught:
            with session.open_record_writer(0) as writer:
                writer.write(session.new_record([None, "x"]))
        self.assertIn("a", str(caught.exception).lower())
        self.assertEqual(session.get_block_list(), [])

    def test_nested_nanoseconds_are_refused_by_row_and_column(self):
        table = self.table("k bigint, v array<timestamp>")
        with self.assertRaises(errors.ODPSError) as caught:
            self.o.write_table(table, [[1, [COARSE]], [2, [INSTANT]]])
        self.assertRegex(str(caught.exception), r"(?i)row.*column.*v")

    def tunnel(self):
        from odps.tunnel import TableTunnel

        return TableTunnel(self.o)


if __name__ == "__main__":
    unittest.main()
