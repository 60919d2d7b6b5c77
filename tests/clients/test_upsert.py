"""Upsert sessions as PyODPS speaks them: rows that replace others or take them away, buckets, types of keys, commits that
come twice or meet other writers, and readers from outside.

Expected values are what a dictionary holds after the same operations.
"""

import datetime
import decimal
import io
import random
import threading
import unittest
from pathlib import Path

from deltalake import DeltaTable
from odps import errors
from odps.tunnel import TableTunnel
from odps.tunnel.io.writer import BaseRecordWriter

import harness
import raw
from harness import ClientCase

EVERY_KEY = (
    ("tinyint", [1, -2, 3]),
    ("smallint", [1, -2, 3]),
    ("int", [1, -2, 3]),
    ("bigint", [1, -(2**40), 2**40]),
    ("string", ["", "é", "long " * 100]),
    ("varchar(8)", ["a", "b", "c"]),
    ("boolean", [True, False]),
    ("date", [datetime.date(1969, 12, 31), datetime.date(2024, 2, 29)]),
    ("datetime", [datetime.datetime(2024, 1, 1, 12, 30, 0, 5000), datetime.datetime(2024, 1, 1)]),
    ("decimal(10,2)", [decimal.Decimal("1.50"), decimal.Decimal("22.25")]),
)


class Upserts(ClientCase):
    def keyed(self, columns, key, partitions="", **properties):
        name, properties = self.name(), {"transactional": "true", **properties}
        pairs = ", ".join(f"'{key}'='{value}'" for key, value in properties.items())
        parts = f"PARTITIONED BY ({partitions})" if partitions else ""
        self.o.execute_sql(f"CREATE TABLE {name} ({columns}, PRIMARY KEY ({key})) {parts} TBLPROPERTIES ({pairs})")
        return self.o.get_table(name)

    def session(self, table, **arguments):
        return TableTunnel(self.o).create_upsert_session(table.name, **arguments)

    def send(self, session, upserts=(), deletes=(), compress=False):
        with session.open_upsert_stream(compress=compress) as stream:
            for row in upserts:
                stream.upsert(session.new_record(row))
            for row in deletes:
                stream.delete(session.new_record(row))

    def upsert(self, table, upserts=(), deletes=(), **arguments):
        session = self.session(table, **arguments)
        self.send(session, upserts, deletes)
        session.commit()

    def sorted(self, table):
        return sorted(self.query(f"SELECT * FROM {table.name}", **{"odps.sql.allow.fullscan": "true"}))

    def test_rows_replace_those_of_their_keys_and_deletes_take_them_away(self):
        table = self.keyed("id bigint not null, s string", "id")
        wanted = {}
        generator = random.Random(7)
        for turn in range(4):
            session = self.session(table)
            self.assertEqual(len(session.buckets), 16)
            with session.open_upsert_stream(compress=turn % 2 == 1) as stream:
                for n in range(300):
                    key = generator.randrange(200)
                    if generator.random() < 0.3:
                        stream.delete(session.new_record([key, "gone"]))
                        wanted.pop(key, None)
                    else:
                        stream.upsert(session.new_record([key, f"{turn} {n}"]))
                        wanted[key] = f"{turn} {n}"
                    if n % 100 == 99:
                        stream.flush()
            self.assertEqual(session.status.value, "NORMAL")
            session.commit()
            self.assertEqual(session.status.value, "COMMITTED")
            self.assertEqual(self.sorted(table), sorted(wanted.items()))

    def test_the_key_alone_is_enough_to_delete(self):
        table = self.keyed("id bigint not null, s string not null, n bigint", "id")
        self.upsert(table, [[1, "a", 1], [2, "b", None]])
        self.upsert(table, deletes=[[1, None, None]])
        self.assertEqual(self.sorted(table), [(2, "b", None)])
        session = self.session(table)
        # The client sends a refused buffer again, with a second end behind it; what it says then is its own.
        with self.assertRaises(Exception):
            self.send(session, [[3, None, 3]])
        session.commit()
        self.assertEqual(self.sorted(table), [(2, "b", None)])

    def test_every_type_of_key(self):
        for kind, keys in EVERY_KEY:
            with self.subTest(kind):
                table = self.keyed(f"v bigint, k {kind} not null, j bigint not null", "k, j")
                for turn in range(2):
                    self.upsert(table, [[turn * 10 + i, key, 0] for i, key in enumerate(keys)])
                found = {row[1]: row[0] for row in self.sorted(table)}
                self.assertEqual(found, {key: 10 + i for i, key in enumerate(keys)})
                self.upsert(table, deletes=[[None, keys[0], 0], [None, keys[1], 1]])
                self.assertEqual(len(self.sorted(table)), len(keys) - 1)

    def test_writers_of_tables_speak_upsert(self):
        table = self.keyed("a string not null, b bigint", "a", "pt string")
        with table.open_writer(partition="pt=x", create_partition=True) as writer:
            writer.write([["abcd", 1], ["efgh", 2], ["ijkl", 3]])
            writer.delete(["abcd", 1])
        with table.open_writer(partition="pt=y", create_partition=True) as writer:
            writer.write([["efgh", 20]])
        with table.open_writer(partition="pt=x") as writer:
            writer.write([["efgh", 22], ["mnop", 4]])
        wanted = [("efgh", 20, "y"), ("efgh", 22, "x"), ("ijkl", 3, "x"), ("mnop", 4, "x")]
        self.assertEqual(self.sorted(table), wanted)
        read = sorted(row[:2] for row in self.rows(table, partition="pt=x"))
        self.assertEqual(read, [row[:2] for row in wanted if row[2] == "x"])

    def test_an_error_in_a_writer_aborts_its_session(self):
        table = self.keyed("a bigint not null, b bigint", "a")
        with self.assertRaises(ZeroDivisionError):
            with table.open_writer() as writer:
                writer.write([[1, 1]])
                raise ZeroDivisionError
        session = self.session(table)
        self.send(session, [[2, 2]])
        session.abort()
        session.reload()
        self.assertEqual(session.status.value, "ABORTED")
        with self.assertRaises(errors.ODPSError):
            session.commit()
        self.assertEqual(self.sorted(table), [])

    def test_a_session_is_known_by_its_id(self):
        table = self.keyed("a bigint not null, b bigint", "a", **{"write.bucket.num": "1"})
        session = self.session(table)
        self.send(session, [[1, 1]])
        again = self.session(table, upsert_id=session.id)
        self.assertEqual(list(again.buckets), [0])
        self.send(again, [[1, 2]])
        again.commit()
        session.commit()
        session.reload()
        self.assertEqual((session.status.value, self.sorted(table)), ("COMMITTED", [(1, 2)]))
        with self.assertRaises(errors.UpsertSessionNotFound):
            self.session(table, upsert_id="nosuch")

    def test_what_is_no_table_with_a_key_is_refused_both_ways(self):
        plain = self.table("a bigint")
        with self.assertRaises(errors.ODPSError):
            self.session(plain)
        keyed = self.keyed("a bigint not null", "a")
        with self.assertRaises(errors.ODPSError) as caught:
            TableTunnel(self.o).create_upload_session(keyed.name)
        self.assertIn("primary key", str(caught.exception))

    def test_sessions_and_statements_at_the_same_time_lose_nothing(self):
        table = self.keyed("id bigint not null, n bigint", "id")
        self.upsert(table, [[0, 0]])
        failures = []

        def guarded(work):
            try:
                work()
            except Exception as error:
                failures.append(error)

        def sessions(writer):
            for turn in range(5):
                self.upsert(table, [[1000 * writer + turn, turn], [-writer, turn]])

        def statements():
            # Each adds one to the row that nobody else writes; one that gave way too often says so.
            added = 0
            while added < 5:
                try:
                    self.o.execute_sql(f"UPDATE {table.name} SET n = n + 1 WHERE id = 0")
                    added += 1
                except errors.ODPSError as error:
                    if "ODPS-0110061" not in str(error):
                        raise

        work = [threading.Thread(target=guarded, args=(lambda w=w: sessions(w),)) for w in (1, 2, 3)]
        work.append(threading.Thread(target=guarded, args=(statements,)))
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
        self.assertEqual(failures, [])
        wanted = [(1000 * w + turn, turn) for w in (1, 2, 3) for turn in range(5)]
        wanted += [(-w, 4) for w in (1, 2, 3)] + [(0, 5)]
        self.assertEqual(self.sorted(table), sorted(wanted))

    def body(self, session, rows):
        """The record stream of these upserts, as the client writes it."""
        out = io.BytesIO()
        writer = BaseRecordWriter(session.schema, out)
        for row in rows:
            record = session.new_record(row)
            record["__operation"], record["__value_cols"] = ord("U"), []
            writer.write(record)
        writer.close()
        return out.getvalue()

    def test_requests_that_come_twice_count_once_and_wrong_ones_not_at_all(self):
        table = self.keyed("id bigint not null, n bigint", "id")
        session = self.session(table)
        body = self.body(session, [[1, 1], [2, 2]])
        wire = raw.Wire(self.server, self.o)
        path = f"/projects/{self.o.project}/tables/{table.name}/upserts"
        given = {"upsertid": session.id, "bucketid": "0", "slotid": "0", "record_count": "2"}
        for changed in ({"record_count": "3"}, {"bucketid": "16"}, {"slotid": "1"}, {"record_count": "x"}):
            self.assertEqual(wire.body("PUT", path, body, {**given, **changed}).status, 400, changed)
        self.assertEqual(wire.body("PUT", path, body[:-3], given).status, 400)
        for _ in range(3):
            self.assertEqual(wire.body("PUT", path, body, given).status, 200)
        self.assertEqual(self.sorted(table), [])
        for _ in range(3):
            answer = wire.body("POST", path, b"", {"upsertid": session.id})
            self.assertEqual(answer.status, 200, answer)
        self.assertEqual(wire.body("PUT", path, body, given).status, 409)
        self.assertEqual(self.sorted(table), [(1, 1), (2, 2)])


class Readers(unittest.TestCase):
    def setUp(self):
        self.server = harness.Server(meta=harness.new_database())
        self.addCleanup(self.server.close)
        self.server.start()
        self.o = self.server.entry()

    def upsert(self, rows, deletes=()):
        session = TableTunnel(self.o).create_upsert_session("t")
        with session.open_upsert_stream() as stream:
            for row in rows:
                stream.upsert(session.new_record(row))
            for row in deletes:
                stream.delete(session.new_record(row))
        return session

    def test_delta_readers_and_a_restarted_server_see_the_same_rows(self):
        self.o.create_table("t", "id bigint not null, s string", transactional=True, primary_key="id")
        self.upsert([[n, "old"] for n in range(100)]).commit()
        self.o.execute_sql("INSERT INTO t VALUES (5, 'five'), (500, 'new')")
        self.upsert([[n, "new"] for n in range(10, 20)], [[n, None] for n in range(50, 100)]).commit()
        left = self.upsert([[1, "after the kill"]])
        self.server.kill()
        self.server.start()
        wanted = {n: "old" for n in range(50)} | {5: "five", 500: "new"} | {n: "new" for n in range(10, 20)}
        [directory] = Path(self.server.data, "warehouse", self.o.project).glob("t-*")
        seen = DeltaTable(str(directory)).to_pyarrow_table().to_pylist()
        self.assertEqual(sorted((r["id"], r["s"]) for r in seen), sorted(wanted.items()))
        # What was acknowledged before the kill is committed after it.
        TableTunnel(self.o).create_upsert_session("t", upsert_id=left.id).commit()
        wanted[1] = "after the kill"
        with self.o.execute_sql("SELECT * FROM t").open_reader(tunnel=True) as reader:
            self.assertEqual(sorted(tuple(r.values) for r in reader), sorted(wanted.items()))
        seen = DeltaTable(str(directory)).to_pyarrow_table().to_pylist()
        self.assertEqual(sorted((r["id"], r["s"]) for r in seen), sorted(wanted.items()))


if __name__ == "__main__":
    unittest.main()
