"""dbt with dbt-maxcompute, both as they are on PyPI, runs a project of ours: seeds, models of every kind, tests, snapshots,
a clone and the documentation.

FEITIAN_TEST_DBT is the program dbt, which has an environment of its own. The project is run twice, with other rows in
between; the tests look at what the tables hold then. Expected values are the rows below, or follow from them by
arithmetic; what a strategy keeps and replaces is dbt's documentation, "Incremental strategy".
"""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

from harness import ClientCase, shared, unique

HINTS = {"odps.sql.allow.fullscan": "true", "odps.sql.timezone": "UTC"}

PROJECT = """
name: shop
version: '1.0'
profile: feitian
flags: {send_anonymous_usage_stats: false, use_colors: false, require_generic_test_arguments_property: true}
on-run-start: "create table if not exists {{ target.database }}.{{ target.schema }}.audit (what string)"
seeds:
  shop:
    customers: {+column_types: {balance: 'decimal(10,2)'}}
    orders: {+transactional: true, +event_time: placed_at}
models:
  shop:
    +materialized: table
"""

SEEDS = {
    "customers.csv": (
        "id,name,joined,vip,balance\n1,Ada,2024-01-05,true,10.5\n2,Bob,2024-02-10,false,0.25\n3,Cléo,2024-03-15,true,7.75\n"
        "4,,2024-04-20,false,1\n"
    ),
    "orders.csv": (
        "id,customer_id,amount,placed_at\n1,1,5,2025-05-01 09:00:00\n2,1,7,2025-05-01 10:00:00\n3,2,11,2025-05-02 11:00:00\n"
        "4,3,13,2025-05-03 12:00:00\n"
    ),
}

ORDERS = "select id, customer_id, amount, placed_at from {{ ref('orders') }}"
CHANGED = "{% if is_incremental() %} where id >= 4 {% endif %}"
DAY = "substr(cast(placed_at as string), 1, 10) as ds"


def incremental(strategy, query, **options):
    config = {"materialized": "incremental", "incremental_strategy": strategy, **options}
    return "{{ config(" + ", ".join(f"{k}={v!r}" for k, v in config.items()) + ") }}\n" + query


MODELS = {
    "big_orders.sql": "{{ config(materialized='view') }} select id, customer_id, amount from {{ ref('orders') }} where amount > 6",
    "spenders.sql": "{{ config(materialized='ephemeral') }} select distinct customer_id from {{ ref('orders') }}",
    "totals.sql": """
        {{ config(lifecycle=30, grants={'select': [env_var('SHOP_READER')]},
                  pre_hook="insert into {{ target.database }}.{{ target.schema }}.audit values ('before')",
                  post_hook="insert into {{ target.database }}.{{ target.schema }}.audit select 'after'") }}
        select c.id as customer_id, c.name, count(o.id) as n, sum(o.amount) as amount
        from {{ ref('customers') }} c left join {{ ref('orders') }} o on o.customer_id = c.id
        group by c.id, c.name
    """,
    "by_spenders.sql": "select count(*) as n from {{ ref('spenders') }}",
    "by_day.sql": (
        "{{ config(partition_by={'fields': 'ds', 'data_types': 'string'}) }}\n"
        "select id, amount, " + DAY + " from {{ ref('orders') }}"
    ),
    "keyed.sql": (
        "{{ config(transactional=true, primary_keys=['id'], delta_table_bucket_num=4) }}\n"
        "select id, name from {{ ref('customers') }}"
    ),
    "contracted.sql": "select id, name from {{ ref('customers') }}",
    "macros.sql": """
        select {{ dbt.datediff("date'2024-01-01'", "date'2024-03-01'", 'day') }} as days,
            {{ dbt.hash("'abc'") }} as hashed, {{ dbt.split_part("'a|b|c'", "'|'", 2) }} as part,
            {{ dbt.position("'b'", "'abc'") }} as place, {{ dbt.right("'feitian'", 4) }} as tail,
            {{ dbt.concat(["'a'", "'b'"]) }} as joined, {{ dbt.cast_bool_to_text("true") }} as shown,
            {{ dbt.safe_cast("'7'", 'bigint') }} as seven, {{ dbt.length("'abc'") }} as chars
    """,
    "gathered.sql": """
        select {{ dbt.listagg('name', "','", 'order by name') }} as names, {{ dbt.bool_or('vip') }} as any_vip,
            {{ dbt.any_value("'x'") }} as x from {{ ref('customers') }}
    """,
    "inc_merge.sql": incremental("merge", f"{ORDERS} {CHANGED}", unique_key="id"),
    "inc_append.sql": incremental(
        "append", ORDERS + "{% if is_incremental() %} where id > (select max(id) from {{ this }}) {% endif %}"
    ),
    "inc_delete_insert.sql": incremental(
        "delete+insert", f"{ORDERS} {CHANGED}", unique_key=["id", "customer_id"], on_schema_change="append_new_columns"
    ),
    "inc_delete_insert_one.sql": incremental("delete+insert", f"{ORDERS} {CHANGED}", unique_key="id"),
    "inc_overwrite.sql": incremental(
        "insert_overwrite",
        "select id, amount, " + DAY + " from {{ ref('orders') }} " + CHANGED,
        partition_by={"fields": "ds", "data_types": "string"},
    ),
    "inc_truncate.sql": incremental(
        "truncate_insert", "select max(id) as newest, sum(amount) as amount from {{ ref('orders') }}"
    ),
    "inc_auto.sql": incremental(
        "merge",
        f"{ORDERS} {CHANGED}",
        unique_key="id",
        partition_by={
            "fields": "placed_at",
            "data_types": "timestamp",
            "granularity": "month",
            "generate_column_name": "pt_month",
        },
    ),
    "inc_parted.sql": incremental(
        "merge",
        "select id, amount, " + DAY + " from {{ ref('orders') }} " + CHANGED,
        unique_key="id",
        partition_by={"fields": "ds", "data_types": "string"},
    ),
    "inc_wide.sql": incremental(
        "merge",
        "select id, {% if var('wide', false) %} customer_id {% else %} amount {% endif %} from {{ ref('orders') }}",
        unique_key="id",
        on_schema_change="sync_all_columns",
    ),
    "batches.sql": incremental(
        "microbatch",
        ORDERS,
        unique_key="id",
        event_time="placed_at",
        begin="2025-05-01",
        batch_size="day",
        partition_by={"fields": "placed_at", "data_types": "timestamp", "granularity": "day"},
    ),
}

SCHEMA = """
sources:
  - name: raw
    database: "{{ target.database }}"
    schema: "{{ target.schema }}"
    tables:
      - name: orders
        config: {freshness: {warn_after: {count: 2, period: day}}}
models:
  - name: totals
    description: "What each customer's orders come to"
    config: {persist_docs: {relation: true, columns: true}}
    columns:
      - {name: customer_id, data_tests: [unique, not_null]}
      - {name: amount, description: "the sum; it's NULL without orders"}
  - name: big_orders
    description: "Orders above six"
    config: {persist_docs: {relation: true, columns: true}}
    columns:
      - name: customer_id
        description: "who bought"
        data_tests:
          - accepted_values: {arguments: {values: [1, 2, 3], quote: false}}
          - relationships: {arguments: {to: ref('customers'), field: id}}
  - name: contracted
    config: {contract: {enforced: true}}
    columns:
      - {name: id, data_type: bigint, constraints: [{type: not_null}]}
      - {name: name, data_type: string}
"""

SNAPSHOTS = """
snapshots:
  - name: orders_history
    relation: ref('orders')
    config: {strategy: check, unique_key: id, check_cols: [amount], hard_deletes: invalidate}
"""

# A warning, so that dbt goes on.
FAILING = "{{ config(severity='warn') }} select * from {{ ref('totals') }} where amount is null or amount > 12"


class Dbt(ClientCase):
    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp(prefix="feitian-dbt-")
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.schema, cls.copy = unique("shop"), unique("shop_copy")
        server = shared()
        cls.reader = "ALIYUN$" + unique("reader")
        server.cli("account", "create", cls.reader)
        server.entry().get_project().users.create(cls.reader)
        cls.write_project(server)
        o = server.entry(schema=cls.schema)
        days = ("--event-time-start", "2025-05-01", "--event-time-end", "2025-05-04")
        cls.dbt("seed")
        cls.dbt("run", *days)
        cls.dbt("snapshot")
        cls.before = {name: cls.ask(o, f"SELECT id, amount FROM {name} ORDER BY id LIMIT 99") for name in cls.histories()}
        cls.before["inc_truncate"] = cls.ask(o, "SELECT newest, amount FROM inc_truncate")
        for statement in (
            "UPDATE orders SET amount = 100 WHERE id = 4",
            "INSERT INTO orders VALUES (5, 2, 17, TIMESTAMP'2025-05-04 13:00:00')",
        ):
            o.execute_sql(statement, hints=HINTS)
        days = ("--event-time-start", "2025-05-03", "--event-time-end", "2025-05-05")
        cls.dbt("run", *days, "--vars", "{wide: true}")
        cls.dbt("test")
        cls.tested = cls.results()
        cls.dbt("docs", "generate")
        cls.catalog = cls.read("target", "catalog.json")
        cls.dbt("source", "freshness")
        shutil.copytree(os.path.join(cls.home, "target"), os.path.join(cls.home, "state"))
        cls.dbt("clone", "--target", "copy", "--state", "state", "--select", "totals")
        o.execute_sql("DELETE FROM orders WHERE id = 1", hints=HINTS)
        cls.dbt("snapshot")

    @classmethod
    def write_project(cls, server):
        login = server.credentials()
        output = {
            "type": "maxcompute",
            "project": login["project"],
            "schema": cls.schema,
            "endpoint": server.endpoint,
            "access_key_id": login["access_id"],
            "access_key_secret": login["secret"],
            "threads": 2,
        }
        outputs = {"dev": output, "copy": {**output, "schema": cls.copy}}
        files = {
            "dbt_project.yml": PROJECT,
            # JSON is YAML.
            "profiles.yml": json.dumps({"feitian": {"target": "dev", "outputs": outputs}}),
            "models/schema.yml": SCHEMA,
            "snapshots/snapshots.yml": SNAPSHOTS,
            "tests/nobody_is_rich.sql": FAILING,
            **{f"seeds/{name}": text for name, text in SEEDS.items()},
            **{f"models/{name}": text for name, text in MODELS.items()},
        }
        for name, text in files.items():
            path = os.path.join(cls.home, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)

    @classmethod
    def dbt(cls, *arguments):
        environment = {
            **os.environ,
            "HOME": cls.home,
            "DBT_PROFILES_DIR": cls.home,
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "SHOP_READER": cls.reader,
        }
        command = [os.environ["FEITIAN_TEST_DBT"], *arguments]
        done = subprocess.run(command, cwd=cls.home, env=environment, capture_output=True, text=True, timeout=900)
        if done.returncode != 0:
            said = done.stdout[-8000:] + done.stderr[-2000:]
            raise AssertionError(f"dbt {' '.join(arguments)} ended with {done.returncode}:\n{said}")
        return done.stdout

    @classmethod
    def read(cls, *path):
        with open(os.path.join(cls.home, *path), encoding="utf-8") as file:
            return json.load(file)

    @classmethod
    def results(cls):
        """How each node of the last command ended, by its name."""
        return {r["unique_id"]: (r["status"], r["failures"]) for r in cls.read("target", "run_results.json")["results"]}

    @staticmethod
    def histories():
        """The models with the columns `id` and `amount` that later runs change."""
        names = [name.removesuffix(".sql") for name in MODELS if name.startswith(("inc_", "batches"))]
        return [name for name in names if name != "inc_truncate"]

    @staticmethod
    def ask(entry, sql):
        with entry.execute_sql(sql, hints=HINTS).open_reader(tunnel=True) as reader:
            return [tuple(record.values) for record in reader]

    def setUp(self):
        super().setUp()
        self.o = self.server.entry(schema=self.schema)

    def test_seeds_have_the_types_and_rows_of_their_files(self):
        table = self.o.get_table("customers")
        types = [str(column.type).lower() for column in table.table_schema.columns]
        self.assertEqual(types, ["bigint", "string", "date", "boolean", "decimal(10,2)"])
        columns = "id, name, CAST(joined AS STRING), vip, CAST(balance AS DOUBLE)"
        rows = self.ask(self.o, f"SELECT {columns} FROM customers ORDER BY id LIMIT 9")
        self.assertEqual(
            rows,
            [
                (1, "Ada", "2024-01-05", True, 10.5),
                (2, "Bob", "2024-02-10", False, 0.25),
                (3, "Cléo", "2024-03-15", True, 7.75),
                (4, None, "2024-04-20", False, 1.0),
            ],
        )
        self.assertTrue(self.o.get_table("orders").is_transactional)

    def test_tables_and_views_hold_what_their_queries_say(self):
        totals = "SELECT customer_id, name, n, amount FROM totals ORDER BY customer_id LIMIT 9"
        wanted = [(1, "Ada", 2, 12), (2, "Bob", 2, 28), (3, "Cléo", 1, 100), (4, None, 0, None)]
        self.assertEqual(self.ask(self.o, totals), wanted)
        self.assertEqual(self.o.get_table("totals").lifecycle, 30)
        self.assertTrue(self.o.get_table("big_orders").is_virtual_view)
        # It reads the seed as it is: 5 is too little, and 1 has gone since.
        rows = self.ask(self.o, "SELECT id, amount FROM big_orders ORDER BY id LIMIT 9")
        self.assertEqual(rows, [(2, 7), (3, 11), (4, 100), (5, 17)])
        self.assertEqual(self.ask(self.o, "SELECT n FROM by_spenders"), [(3,)])
        self.assertEqual(self.ask(self.o, "SELECT id, name FROM contracted ORDER BY id LIMIT 1"), [(1, "Ada")])
        self.assertFalse(self.o.get_table("contracted").table_schema["id"].nullable)
        # Nothing of the runs is left behind.
        self.assertEqual([t.name for t in self.o.list_tables(schema=self.schema) if "__dbt" in t.name], [])

    def test_tables_are_partitioned_and_have_keys(self):
        table = self.o.get_table("by_day")
        days = [f"ds='2025-05-0{day}'" for day in (1, 2, 3, 4)]
        self.assertEqual([str(partition) for partition in table.partitions], days)
        rows = self.ask(self.o, "SELECT id FROM by_day WHERE ds = '2025-05-01' ORDER BY id LIMIT 9")
        self.assertEqual(rows, [(1,), (2,)])
        keyed = self.o.get_table("keyed")
        self.assertEqual((list(keyed.primary_key), keyed.is_transactional), (["id"], True))
        self.assertEqual(self.ask(self.o, "SELECT COUNT(*) FROM keyed"), [(4,)])

    def test_macros_give_what_their_names_say(self):
        rows = self.ask(self.o, "SELECT days, hashed, part, place, tail, joined, shown, seven, chars FROM macros")
        # January and February of a leap year; the hash is RFC 1321's.
        self.assertEqual(rows, [(60, "900150983cd24fb0d6963f7d28e17f72", "b", 2, "tian", "ab", "true", 7, 3)])
        self.assertEqual(self.ask(self.o, "SELECT names, any_vip, x FROM gathered"), [("Ada,Bob,Cléo", True, "x")])

    def test_every_incremental_strategy_keeps_and_replaces_what_it_should(self):
        first = [(1, 5), (2, 7), (3, 11), (4, 13)]
        second = [(1, 5), (2, 7), (3, 11), (4, 100), (5, 17)]
        for name in self.histories():
            with self.subTest(name):
                self.assertEqual(self.before[name], first)
                if name == "inc_wide":
                    continue
                rows = self.ask(self.o, f"SELECT id, amount FROM {name} ORDER BY id LIMIT 99")
                # Only what is newer than the newest is added.
                wanted = first + [(5, 17)] if name == "inc_append" else second
                self.assertEqual(rows, wanted)
        # 5 + 7 + 11 + 13, then 5 + 7 + 11 + 100 + 17.
        self.assertEqual(self.before["inc_truncate"], [(4, 36)])
        self.assertEqual(self.ask(self.o, "SELECT newest, amount FROM inc_truncate"), [(5, 140)])
        parts = [str(partition) for partition in self.o.get_table("batches").partitions]
        self.assertEqual(parts, [f"_pt_col_0_='2025-05-0{day}'" for day in (1, 2, 3, 4)])

    def test_columns_follow_the_query(self):
        table = self.o.get_table("inc_wide")
        self.assertEqual([column.name for column in table.table_schema.columns], ["id", "customer_id"])
        rows = self.ask(self.o, "SELECT id, customer_id FROM inc_wide ORDER BY id LIMIT 9")
        self.assertEqual(rows, [(1, 1), (2, 1), (3, 2), (4, 3), (5, 2)])

    def test_tests_find_what_is_wrong(self):
        tests = {name: result for name, result in self.tested.items() if name.startswith("test.")}
        by_name = {unique_id.split(".")[2]: result for unique_id, result in tests.items()}
        # 28 and 100 are more than 12, and one has none.
        self.assertEqual(by_name.pop("nobody_is_rich"), ("warn", 3))
        self.assertEqual(len(by_name), 4)
        self.assertEqual(set(by_name.values()), {("pass", 0)})

    def test_snapshots_keep_what_rows_were(self):
        closed = "SELECT id, amount FROM orders_history WHERE dbt_valid_to IS NOT NULL ORDER BY id LIMIT 9"
        # The second snapshot saw 4 change and 1 go.
        self.assertEqual(self.ask(self.o, closed), [(1, 5), (4, 13)])
        current = "SELECT id, amount FROM orders_history WHERE dbt_valid_to IS NULL ORDER BY id LIMIT 9"
        self.assertEqual(self.ask(self.o, current), [(2, 7), (3, 11), (4, 100), (5, 17)])

    def test_comments_are_kept_and_the_catalog_shows_them(self):
        totals, orders = self.o.get_table("totals"), self.o.get_table("big_orders")
        self.assertEqual(totals.comment, "What each customer's orders come to")
        self.assertEqual(totals.table_schema["amount"].comment, "the sum; it's NULL without orders")
        self.assertEqual((orders.comment, orders.table_schema["customer_id"].comment), ("Orders above six", "who bought"))
        nodes = self.catalog["nodes"]
        self.assertIsNone(self.catalog["errors"])
        shown = nodes["model.shop.totals"]
        self.assertEqual((shown["metadata"]["type"], shown["metadata"]["comment"]), ("TABLE", totals.comment))
        columns = [(name, column["type"].lower()) for name, column in shown["columns"].items()]
        self.assertEqual(columns, [("customer_id", "bigint"), ("name", "string"), ("n", "bigint"), ("amount", "bigint")])
        self.assertEqual(nodes["model.shop.big_orders"]["metadata"]["type"], "VIEW")
        self.assertIn("source.shop.raw.orders", self.catalog["sources"])

    def test_a_grant_lets_its_user_read_one_table(self):
        shown = self.o.execute_security_query(f"show grants on {self.o.project}.{self.schema}.totals")
        principals = [entry["Principal"][0].split("(")[0] for entry in shown["ACL"][""] if "Select" in entry["Action"]]
        self.assertEqual(principals, [f"user/{self.reader}"])

    def test_hooks_run_before_and_after(self):
        rows = self.ask(self.o, "SELECT what, COUNT(*) FROM audit GROUP BY what ORDER BY what LIMIT 9")
        self.assertEqual(rows, [("after", 2), ("before", 2)])

    def test_the_age_of_a_source_is_known(self):
        (result,) = self.read("target", "sources.json")["results"]
        self.assertEqual((result["unique_id"], result["status"]), ("source.shop.raw.orders", "pass"))

    def test_a_clone_has_the_same_rows(self):
        count = f"SELECT COUNT(*), SUM(amount) FROM {self.o.project}.{self.copy}.totals"
        # 12 + 28 + 100.
        self.assertEqual(self.ask(self.o, count), [(4, 140)])


if __name__ == "__main__":
    unittest.main()
