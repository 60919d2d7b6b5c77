"""Changes of every kind, one request at a time, for a server whose system calls are being watched.

    changes.py DATA/credentials
"""

import json
import sys

from urllib.parse import urlsplit

from odps import ODPS
from odps.tunnel import TableTunnel

import ots_raw


def upload(tunnel, table, rows, blocks, **options):
    """One session with `blocks` blocks of the same rows."""
    session = tunnel.create_upload_session(table, **options)
    for block in range(blocks):
        with session.open_record_writer(block) as writer:
            for row in rows:
                writer.write(session.new_record(row))
    session.commit(list(range(blocks)))


def change_rows(stored):
    """The same of the table store."""
    port = urlsplit(stored["ots_endpoint"]).port
    wire = ots_raw.Wire(port, stored["access_id"], stored["secret"], "demo")
    keys, columns = [("p", ots_raw.STRING), ("n", ots_raw.INTEGER)], [("v", ots_raw.INTEGER)]
    index = {1: "by_v", 2: ["p", "v"], 4: 1, 5: 1}
    for table in ("first", "second"):
        made = ots_raw.create_table(table, keys, columns, stream=24 if table == "first" else None, transactions=True)
        wire.ask("CreateTable", made)
    wire.ask("CreateIndex", {1: "second", 2: index})
    for n in range(20):
        key, cells = [("p", "a"), ("n", n)], [("v", n), ("pad", "x" * 2000)]
        for table in ("first", "second"):
            wire.ask("PutRow", ots_raw.put(table, key, cells))
        wire.ask("UpdateRow", ots_raw.update("second", key, [ots_raw.Cell("sum", n, ots_raw.INCREMENT)]))
        if n % 2:
            wire.ask("DeleteRow", ots_raw.delete("first", key))
    rows = [ots_raw.row([("p", "b"), ("n", n)], [("v", n)]) for n in range(9)]
    puts = [{1: ots_raw.PUT, 2: row, 3: ots_raw.condition()} for row in rows]
    wire.ask("BatchWriteRow", {1: [{1: "second", 2: puts}]})
    for _ in range(3):
        started = wire.ask("StartLocalTransaction", {1: "second", 2: ots_raw.row([("p", "c")])})
        id = ots_raw.one(started, 1).decode()
        body = ots_raw.message(ots_raw.put("second", [("p", "c"), ("n", 1)], [("v", 1)], transaction=id))
        # It lasts with the commit alone: who judges the system calls is told so, where the first bytes of a request are.
        told = {"x-ots-inside": "a transaction"}
        wire.ask("PutRow", body, told | wire.headers("PutRow", body, told))
        wire.ask("CommitTransaction", {1: id})
    wire.ask("UpdateTable", {1: "first", 3: {2: 3}})
    wire.ask("DropIndex", {1: "second", 2: "by_v"})
    wire.ask("DeleteTable", {1: "first"})
    wire.close()


def main():
    stored = json.load(open(sys.argv[1]))
    o = ODPS(stored["access_id"], stored["secret"], stored["project"], endpoint=stored["endpoint"])
    tunnel = TableTunnel(o)
    rows = [[i, f"row {i}" * 50] for i in range(200)]
    for n in range(3):
        plain, parts = f"plain_{n}", f"parts_{n}"
        o.execute_sql(f"create table {plain} (id bigint, name string)")
        o.execute_sql(f"create table {parts} (id bigint, name string) partitioned by (ds string)")
        upload(tunnel, plain, rows, blocks=3)
        upload(tunnel, plain, rows, blocks=1, overwrite=True)
        upload(tunnel, parts, rows, blocks=2, partition_spec="ds=1", create_partition=True)
        with tunnel.create_stream_upload_session(plain).open_record_writer() as writer:
            for row in rows[:5]:
                writer.write(o.get_table(plain).new_record(row))
        o.execute_sql(f"alter table {parts} add partition (ds='2')")
        o.execute_sql(f"insert into {plain} values (1, 'a'), (2, 'b')")
        o.execute_sql(f"insert overwrite table {parts} partition (ds='2') select id, name from {plain}")
        o.execute_sql(f"insert overwrite table {parts} partition (ds) select id, name, cast(id % 3 as string) from {plain}")
        o.execute_sql(f"create table copy_{n} as select * from {plain}")
        o.execute_sql(f"alter table copy_{n} rename to copied_{n}")
        o.execute_sql(f"alter table {parts} drop partition (ds='1')")
        with o.execute_sql(f"select a.id, b.name from {plain} a join {plain} b on a.id = b.id").open_reader() as reader:
            assert reader.count > 0
        o.execute_sql(f"drop table copied_{n}")
        key, keyed = "id bigint not null, name string, primary key (id)", f"keyed_{n}"
        # One bucket: the client sends those of a session at the same time, and only one request at a time can be judged.
        properties = "'transactional'='true', 'write.bucket.num'='1'"
        o.execute_sql(f"create table {keyed} ({key}) tblproperties ({properties})")
        for _ in range(2):
            session = tunnel.create_upsert_session(keyed)
            with session.open_upsert_stream() as stream:
                for row in rows[:5]:
                    stream.upsert(session.new_record(row))
            session.commit()
    change_rows(stored)


if __name__ == "__main__":
    main()
