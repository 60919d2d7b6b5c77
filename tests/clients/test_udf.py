"""Functions of users in Python: registered by PyODPS, called in SQL, held in their sandbox.

Expected values are what plain Python makes of the same values, in the test itself.
"""

import datetime
import decimal
import io
import os
import tarfile
import textwrap
import unittest
import zipfile

import harness
from harness import ClientCase, unique, wait_for
from odps import errors

HEAD = """\
from odps.udf import annotate, BaseUDTF, BaseUDAF
"""


def descendants(pid):
    """The processes below `pid` that are no zombies (proc(5))."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="latin-1") as file:
                    state, parent = file.read().rsplit(")", 1)[1].split()[:2]
            except OSError:
                continue
            if state != "Z":
                parents[int(name)] = int(parent)
    found, new = set(), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


class UdfCase(ClientCase):
    def function(self, source, files=(), **kwargs):
        """Registers the class F of `source`; `files` are further resources (name, type, content)."""
        module = unique("mod")
        files = [(module + ".py", "py", (HEAD + textwrap.dedent(source)).encode()), *files]
        resources = [self.o.create_resource(name, kind, fileobj=io.BytesIO(raw), **kwargs) for name, kind, raw in files]
        function = self.o.create_function(unique("udf"), class_type=module + ".F", resources=resources, **kwargs)
        for made in [function, *resources]:
            self.addCleanup(made.drop)
        return function.name

    def fails(self, sql):
        with self.assertRaises(errors.ODPSError) as caught:
            self.query(sql)
        return str(caught.exception)


class Scalar(UdfCase):
    def test_a_function_is_called_for_every_row(self):
        name = self.function("""
            @annotate("bigint,bigint->bigint")
            class F(object):
                def evaluate(self, a, b):
                    return None if a is None else a * 2 + b
        """)
        table = self.table("a bigint, b bigint")
        rows = [[n if n % 7 else None, n * n] for n in range(20_000)]
        self.o.write_table(table, rows)
        want = [(None if a is None else a * 2 + b,) for a, b in rows]
        self.assertCountEqual(self.query(f"SELECT {name}(a, b) FROM {table.name}"), want)
        total = sum(n for (n,) in want if n is not None and n % 2)
        self.assertEqual(self.query(f"SELECT SUM({name}(a, b)) FROM {table.name} WHERE {name}(a, b) % 2 = 1"), [(total,)])

    def test_rows_that_a_condition_decides_are_not_asked_about(self):
        name = self.function("""
            @annotate("bigint->boolean")
            class F(object):
                def evaluate(self, n):
                    if n is None or n < 0:
                        raise ValueError("asked about %r" % n)
                    return n % 2 == 0
        """)
        table = self.table("n bigint")
        numbers = list(range(-100, 100))
        self.o.write_table(table, [[None], *([n] for n in numbers)])
        where = lambda condition: self.query(f"SELECT n FROM {table.name} WHERE {condition}")
        even = [(n,) for n in numbers if n >= 0 and n % 2 == 0]
        decided = [(None,), *((n,) for n in numbers if n < 0)]
        self.assertCountEqual(where(f"n IS NULL OR n < 0 OR {name}(n)"), decided + even)
        self.assertCountEqual(where(f"n IS NOT NULL AND n >= 0 AND {name}(n)"), even)
        self.assertCountEqual(where(f"CASE WHEN n >= 0 THEN {name}(n) ELSE FALSE END"), even)
        self.assertCountEqual(where(f"IF(n >= 0, {name}(n), FALSE)"), even)
        shown = self.query(f"SELECT n, n IS NULL OR n < 0 OR {name}(n) FROM {table.name}")
        self.assertCountEqual([(n,) for n, said in shown if said], decided + even)
        counted = self.query(f"SELECT COUNT_IF(n IS NULL OR n < 0 OR {name}(n)) FROM {table.name}")
        self.assertEqual(counted, [(len(decided + even),)])
        # What is unknown decides nothing: NULL OR TRUE is TRUE, NULL AND FALSE is FALSE.
        unknown = f"SELECT n > 0 OR {name}(0), n > 0 AND {name}(1) FROM {table.name} WHERE n IS NULL"
        self.assertEqual(self.query(unknown), [(True, False)])

    def test_values_of_every_type_go_and_come_back(self):
        values = {
            "bigint": [0, -1, (1 << 63) - 1, -(1 << 63) + 1],
            "int": [(1 << 31) - 1, -(1 << 31)],
            "smallint": [32767, -32768],
            "tinyint": [127, -128],
            "double": [1.5, -0.0, 1e300],
            "float": [0.25, -8.0],
            "boolean": [True, False, True],
            "string": ["", "abc", "飞天 \U0001f680", "a" * 1000],
            "binary": [b"", b"\x00\xff"],
            "datetime": [datetime.datetime(2024, 2, 29, 23, 59, 59, 123000), datetime.datetime(1970, 1, 1)],
            "date": [datetime.date(1969, 12, 31), datetime.date(2024, 2, 29)],
            "decimal(20,4)": [decimal.Decimal("-1234567890.1234"), decimal.Decimal("0.0001")],
            "array<bigint>": [[1, 2], [], [None, 3]],
            "map<string,bigint>": [{"a": 1, "b": None}, {}],
        }
        for kind, plain in values.items():
            with self.subTest(kind):
                name = self.function(f"""
                    @annotate("{kind}->{kind}")
                    class F(object):
                        def evaluate(self, value):
                            return value
                """)
                table = self.table(f"n bigint, v {kind}")
                rows = [[i, value] for i, value in enumerate([*plain, None])]
                self.o.write_table(table, rows)
                got = self.query(f"SELECT v, {name}(v) AS w FROM {table.name} ORDER BY n LIMIT 100")
                self.assertEqual([w for _, w in got], [v for v, _ in got])
                self.assertEqual([w for _, w in got], [*plain, None])

    def test_types_are_what_python_users_of_maxcompute_know(self):
        # MaxCompute documentation, "Python 3 UDFs": the table of data types.
        name = self.function("""
            @annotate("*->string")
            class F(object):
                def evaluate(self, *values):
                    return ",".join(type(value).__name__ for value in values)
        """)
        columns = [
            *("1L", "CAST(1 AS DOUBLE)", "'a'", "true", "CAST('a' AS BINARY)", "DATE '2024-01-01'"),
            *("DATETIME '2024-01-01 00:00:00'", "1.5BD", "ARRAY(1L)", "MAP('a', 1L)", "NULL"),
        ]
        self.assertEqual(
            self.query(f"SELECT {name}({', '.join(columns)})"),
            [("int,float,str,bool,bytes,date,datetime,Decimal,list,dict,NoneType",)],
        )

    def test_structs_are_named_tuples(self):
        name = self.function("""
            @annotate("struct<a:bigint,b:string>->struct<x:string,y:bigint>")
            class F(object):
                def evaluate(self, value):
                    return (value.b, value.a)
        """)
        inner = f"SELECT {name}(NAMED_STRUCT('a', 7L, 'b', 'z')) AS s"
        self.assertEqual(self.query(f"SELECT s.x AS x, s.y AS y FROM ({inner}) t"), [("z", 7)])

    def test_a_datetime_is_the_clock_of_the_session(self):
        name = self.function("""
            @annotate("datetime->string")
            class F(object):
                def evaluate(self, value):
                    return value.isoformat(" ")
        """)
        sql = f"SELECT {name}(FROM_UNIXTIME(0))"
        # IANA time zone database: Shanghai was eight hours ahead of UTC in 1970, Tokyo nine.
        for zone, want in (("Asia/Shanghai", "1970-01-01 08:00:00"), ("Asia/Tokyo", "1970-01-01 09:00:00")):
            self.assertEqual(self.query(sql, **{"odps.sql.timezone": zone}), [(want,)])

    def test_a_function_without_arguments_and_one_that_remembers(self):
        name = self.function("""
            @annotate("->bigint")
            class F(object):
                def __init__(self):
                    self.calls = 0

                def evaluate(self):
                    self.calls += 1
                    return self.calls
        """)
        table = self.numbers(5)
        self.assertEqual(self.query(f"SELECT SUM({name}()) FROM {table}"), [(sum(range(1, 6)),)])

    def test_other_resources_are_modules_files_and_archives(self):
        helper = unique("helper")
        text = unique("text") + ".txt"
        packed = unique("packed") + ".zip"
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("in/a.txt", "first")
            file.writestr("out/b.txt", "second")
        name = self.function(
            f"""
            from odps.distcache import get_cache_file, get_cache_archive
            import {helper}

            @annotate("string->string")
            class F(object):
                def __init__(self):
                    self.words = [line.strip() for line in get_cache_file("{text}")]
                    self.members = [member.read().decode() for member in get_cache_archive("{packed}", "in")]

                def evaluate(self, word):
                    return {helper}.mark(word if word in self.words else self.members[0])
            """,
            files=[
                (helper + ".py", "py", b"def mark(text):\n    return '<' + text + '>'\n"),
                (text, "file", "飞\nok\n".encode()),
                (packed, "archive", archive.getvalue()),
            ],
        )
        self.assertEqual(self.query(f"SELECT {name}('飞'), {name}('none')"), [("<飞>", "<first>")])

    # What an alias does: odps/models/tests/test_instances.py of PyODPS, test_sql_alias_instance.
    def test_an_alias_puts_another_resource_in_the_place_of_one(self):
        first, second = unique("one"), unique("two")
        self.addCleanup(self.o.create_resource(second, "file", fileobj=io.BytesIO(b"20")).drop)
        name = self.function(
            f"""
            from odps.distcache import get_cache_file

            @annotate("bigint->bigint")
            class F(object):
                def __init__(self):
                    self.n = int(get_cache_file("{first}").read())

                def evaluate(self, value):
                    return value + self.n
            """,
            files=[(first, "file", b"1")],
        )
        view = unique("view")
        self.o.execute_sql(f"CREATE VIEW {view} AS SELECT {name}(1) AS v")
        self.addCleanup(self.o.execute_sql, f"DROP VIEW {view}")

        def ask(sql, aliases):
            with self.o.execute_sql(sql, aliases=aliases).open_reader(tunnel=True) as reader:
                return [tuple(record.values) for record in reader]

        for aliases, wanted in ((None, 2), ({first: second}, 21), ({second: first}, 2), (None, 2)):
            self.assertEqual(ask(f"SELECT {name}(1)", aliases), [(wanted,)], aliases)
        # Nobody but its owner says what the query of a view runs.
        self.assertEqual(ask(f"SELECT v FROM {view}", {first: second}), [(2,)])
        with self.assertRaises(errors.ODPSError) as caught:
            ask(f"SELECT {name}(1)", {first: "never_was"})
        self.assertIn("never_was", str(caught.exception))
        with self.assertRaises(errors.ODPSError) as caught:
            ask(f"SELECT {name}(1)", {first: f"{self.o.project}/resources/{second}"})
        self.assertIn("alias", str(caught.exception))

    def test_resources_have_names_that_open_and_import_know(self):
        library, packed, module = unique("lib") + ".zip", unique("packed") + ".tar.gz", unique("one") + ".py"
        zipped, tarred = io.BytesIO(), io.BytesIO()
        with zipfile.ZipFile(zipped, "w") as file:
            file.writestr("in_zip.py", "WORD = 'zip'")
        with tarfile.open(fileobj=tarred, mode="w:gz") as file:
            for path, text in (("top/in_tar/__init__.py", "from .deep import WORD"), ("top/in_tar/deep.py", "WORD = 'tar'")):
                member = tarfile.TarInfo(path)
                member.size = len(text)
                file.addfile(member, io.BytesIO(text.encode()))
        name = self.function(
            f"""
            import os, sys, zipfile
            from odps.distcache import get_cache_file, get_cache_archive_filenames

            @annotate("->string")
            class F(object):
                def evaluate(self):
                    place = get_cache_file("{library}").name
                    words = [zipfile.ZipFile(place).read("in_zip.py").decode()]
                    names = get_cache_archive_filenames("{packed}")
                    words.append(",".join(sorted(name.partition("{packed}")[2] for name in names)))
                    sys.path.append(os.path.dirname(os.path.dirname(names[0])))
                    import in_tar
                    words.append(in_tar.WORD + os.path.basename(in_tar.__file__))
                    words.append(open(get_cache_file("{module}").name).read())
                    try:
                        open(place, "w")
                    except PermissionError:
                        words.append("kept")
                    return "|".join(words)
            """,
            files=[
                (library, "file", zipped.getvalue()),
                (packed, "archive", tarred.getvalue()),
                (module, "py", b"ONE = 1"),
            ],
        )
        files = "/top/in_tar/__init__.py,/top/in_tar/deep.py"
        self.assertEqual(self.query(f"SELECT {name}()"), [(f"WORD = 'zip'|{files}|tar__init__.py|ONE = 1|kept",)])

    def test_tables_are_resources(self):
        plain, parted = self.table("n bigint, s string"), self.table("n bigint, d decimal(10,2)", "ds string")
        self.o.write_table(plain, [[1, "a"], [2, None], [3, "c"]])
        for day, n in (("x", 10), ("y", 20)):
            self.o.write_table(parted, [[n, decimal.Decimal("1.50")]], partition=f"ds={day}", create_partition=True)
        references = [
            self.o.create_resource(unique("ref"), "table", table_name=plain.name),
            self.o.create_resource(unique("ref"), "table", table_name=parted.name, partition="ds=y"),
        ]
        source = f"""
            from odps.distcache import get_cache_table

            @annotate("bigint->string")
            class F(object):
                def __init__(self):
                    self.names = dict(get_cache_table("{references[0].name}"))
                    self.rows = [list(row) for row in get_cache_table("{references[1].name}")]

                def evaluate(self, n):
                    return repr((self.names.get(n), self.rows, len(list(get_cache_table("{references[0].name}")))))
        """
        module = unique("mod")
        code = self.o.create_resource(module + ".py", "py", fileobj=io.BytesIO((HEAD + textwrap.dedent(source)).encode()))
        function = self.o.create_function(unique("udf"), class_type=module + ".F", resources=[code, *references])
        for made in (function, code, *references):
            self.addCleanup(made.drop)
        rows = [[20, decimal.Decimal("1.50")]]
        wanted = [(repr(("a", rows, 3)), repr((None, rows, 3)))]
        self.assertEqual(self.query(f"SELECT {function.name}(1L), {function.name}(2L)"), wanted)
        plain.drop()
        self.assertIn("ODPS-0130071", self.fails(f"SELECT {function.name}(1L)"))

    def test_a_function_lies_in_a_schema(self):
        schema = unique("s")
        self.o.create_schema(schema)
        self.addCleanup(self.o.delete_schema, schema)
        source = """
            @annotate("bigint->bigint")
            class F(object):
                def evaluate(self, value):
                    return value + 1
        """
        name = self.function(source, schema=schema)
        self.assertEqual(self.query(f"SELECT {schema}.{name}(1), {self.o.project}.{schema}.{name}(2)"), [(2, 3)])
        self.assertIn("ODPS-0130071", self.fails(f"SELECT {name}(1)"))

    def test_a_changed_resource_is_the_new_code(self):
        module = unique("mod")
        source = HEAD + '@annotate("->{}")\nclass F(object):\n    def evaluate(self):\n        return {}\n'
        resource = self.o.create_resource(module + ".py", "py", fileobj=io.BytesIO(source.format("bigint", 1).encode()))
        function = self.o.create_function(unique("udf"), class_type=module + ".F", resources=[resource])
        self.addCleanup(resource.drop)
        self.addCleanup(function.drop)
        self.assertEqual(self.query(f"SELECT {function.name}()"), [(1,)])
        resource.update(file_obj=io.BytesIO(source.format("string", "'two'").encode()))
        self.assertEqual(self.query(f"SELECT {function.name}()"), [("two",)])


class Refused(UdfCase):
    PLAIN = """
        @annotate("bigint->bigint")
        class F(object):
            def evaluate(self, value):
                return value
    """

    def test_arguments_must_fit_the_signature(self):
        name = self.function(self.PLAIN)
        self.assertIn("ODPS-0130221", self.fails(f"SELECT {name}(1, 2)"))
        said = self.fails(f"SELECT {name}('a')")
        self.assertIn("ODPS-0130121", said)
        self.assertIn("BIGINT", said)

    def test_python_2_is_refused(self):
        name = self.function(self.PLAIN)
        # MaxCompute documentation, "Python 3 UDFs": cp37 and cp311 are Python 3, cp27 is Python 2.
        for version in ("cp37", "cp311"):
            self.assertEqual(self.query(f"SELECT {name}(1)", **{"odps.sql.python.version": version}), [(1,)])
        with self.assertRaises(errors.ODPSError) as caught:
            self.query(f"SELECT {name}(1)", **{"odps.sql.python.version": "cp27"})
        self.assertIn("ODPS-0121125", str(caught.exception))

    def test_clauses_of_aggregates_are_refused(self):
        name = self.function(self.PLAIN)
        for sql in (f"SELECT {name}(DISTINCT 1)", f"SELECT {name}(1) OVER (PARTITION BY 1)"):
            self.assertRegex(self.fails(sql), "ODPS-0130071|ODPS-0121125|ODPS-0130161")

    def test_a_class_without_a_signature_or_with_a_wrong_one(self):
        for decorator, words in (("", "@annotate"), ('@annotate("bigint")', "->"), ('@annotate("void->bigint")', "void")):
            name = self.function(f"{decorator}\nclass F(object):\n    def evaluate(self):\n        return 1\n")
            said = self.fails(f"SELECT {name}()")
            self.assertIn("ODPS-0130071", said)
            self.assertIn(words, said)

    def test_what_does_not_run_is_named(self):
        stamp = self.function('@annotate("bigint->timestamp")\nclass F(object):\n    pass\n')
        jar = self.o.create_resource(unique("code") + ".jar", "jar", fileobj=io.BytesIO(b"PK"))
        java = self.o.create_function(unique("udf"), class_type="com.example.F", resources=[jar])
        self.addCleanup(jar.drop)
        self.addCleanup(java.drop)
        said = self.fails(f"SELECT {java.name}(1)")
        self.assertIn("ODPS-0121125", said)
        self.assertIn("jar", said)
        self.assertIn("TIMESTAMP", self.fails(f"SELECT {stamp}(1)"))


class Fails(UdfCase):
    def test_an_exception_fails_the_instance_with_its_traceback(self):
        name = self.function("""
            def inner(value):
                return {}[value]

            @annotate("bigint->bigint")
            class F(object):
                def evaluate(self, value):
                    return inner(value)
        """)
        said = self.fails(f"SELECT {name}(7)")
        for words in ("ODPS-0123055", "Traceback", "in evaluate", "return inner(value)", "KeyError: 7"):
            self.assertIn(words, said)
        self.assertNotIn('File "<string>"', said)

    def test_code_that_cannot_be_loaded_fails_with_its_traceback(self):
        for source, words in (("import not_there_at_all", "ModuleNotFoundError"), ("print 1", "SyntaxError")):
            said = self.fails(f"SELECT {self.function(source)}(1)")
            self.assertIn("ODPS-0123055", said)
            self.assertIn(words, said)

    def test_a_result_of_another_type_is_named(self):
        for kind, value in (("bigint", "1.5"), ("bigint", "1 << 63"), ("string", "b'x'"), ("boolean", "1"), ("array<string>", "'abc'")):
            name = self.function(f'@annotate("->{kind}")\nclass F(object):\n    def evaluate(self):\n        return {value}\n')
            said = self.fails(f"SELECT {name}()")
            self.assertIn("ODPS-0123055", said)
            self.assertIn(repr(eval(value)), said)

    def test_a_process_that_ends_is_an_error_and_never_a_hang(self):
        for ending, words in (("os._exit(7)", "exit code 7"), ("os.close(1) or os.closerange(0, 64) or os._exit(3)", "exit code 3")):
            name = self.function(f'import os\n@annotate("->bigint")\nclass F(object):\n    def evaluate(self):\n        {ending}\n')
            said = self.fails(f"SELECT {name}()")
            self.assertIn("ODPS-0123144", said)
            self.assertIn("WorkerRestart", said)
            self.assertIn(words, said)


class Sandbox(UdfCase):
    def evaluated(self, body, kind="string"):
        """What `body`, the statements of evaluate, returns."""
        lines = textwrap.indent(textwrap.dedent(body).strip(), " " * 8)
        name = self.function(f'import os\n@annotate("->{kind}")\nclass F(object):\n    def evaluate(self):\n{lines}\n')
        return self.query(f"SELECT {name}()")[0][0]

    def test_files_of_the_machine_are_not_there(self):
        inside = self.evaluated("""
            seen = []
            for path in ("/etc/passwd", "/proc/self/status", "/root", "/home", "/var", "%s"):
                try:
                    os.stat(path)
                    seen.append(path)
                except OSError:
                    pass
            return ",".join(seen)
        """ % self.server.data)
        self.assertEqual(inside, "")
        self.assertIn("FileNotFoundError", self.failing("open('/etc/passwd')"))
        self.assertIn("Error", self.failing("open('/usr/new', 'w')"))
        self.assertIn("Error", self.failing("open('/new', 'w')"))

    def failing(self, expression):
        name = self.function(
            f'import os, socket\n@annotate("->bigint")\nclass F(object):\n    def evaluate(self):\n        {expression}\n'
        )
        said = self.fails(f"SELECT {name}()")
        self.assertIn("ODPS-0123055", said)
        return said

    def test_there_is_no_network(self):
        self.assertIn("OSError", self.failing(f"socket.create_connection(('127.0.0.1', {self.server.port}))"))

    def test_there_are_no_other_processes(self):
        self.assertRegex(self.failing("os.fork()"), "BlockingIOError|PermissionError")
        # The first process of the sandbox is not the user's, and out of reach (ptrace(2): 16 is PTRACE_ATTACH).
        self.assertEqual(self.evaluated("return os.getpid()", "bigint"), 2)
        self.assertEqual(self.evaluated("os.kill(1, 9)\nreturn 1", "bigint"), 1)
        attach = "import ctypes\nreturn ctypes.CDLL(None).ptrace(16, 1, 0, 0)"
        self.assertEqual(self.evaluated(attach, "bigint"), -1)

    def test_there_are_no_privileges(self):
        self.assertNotEqual(self.evaluated("return os.getuid()", "bigint"), 0)
        self.assertIn("Error", self.failing("os.setuid(0)"))
        self.assertIn("Error", self.failing("os.chroot('/usr')"))

    def test_no_variable_of_the_server_is_seen(self):
        self.assertEqual(self.evaluated("return ','.join(name for name in os.environ if 'FEITIAN' in name)"), "")

    def test_memory_has_a_limit(self):
        self.assertIn("MemoryError", self.failing("bytearray(10 << 30)"))
        self.assertIn("OSError", self.failing("os.write(os.memfd_create('m'), b'x')"))

    def test_an_answer_without_an_end_is_an_error(self):
        # The head of an answer (`HEAD` of worker.py) that promises 2**62 bytes, and bytes for ever.
        name = self.function("""
            import os, struct

            @annotate("->bigint")
            class F(object):
                def evaluate(self):
                    for fd in range(3, 64):
                        try:
                            os.write(fd, struct.pack("<IIQ", 0, 0, 1 << 62))
                            while True:
                                os.write(fd, bytes(1 << 16))
                        except OSError:
                            pass
        """)
        said = self.fails(f"SELECT {name}()")
        self.assertIn("ODPS-0123144", said)
        self.assertIn("no answer", said)

    def test_what_is_printed_does_not_disturb(self):
        self.assertEqual(self.evaluated("print('x' * 100000, flush=True) or os.write(1, b'y')\nreturn 1", "bigint"), 1)

    def test_what_is_printed_is_in_the_log(self):
        name = self.function("""
            import sys

            @annotate("bigint->bigint")
            class F(object):
                def evaluate(self, n):
                    print("row", n)
                    print("warned", n, file=sys.stderr)
                    return n
        """)
        job = self.o.execute_sql(f"SELECT {name}(41L)")
        (worker, *_) = job.get_task_workers()
        for kind in ("stdout", "stderr"):
            log = worker.get_log(kind)
            self.assertIn("row 41\n", log)
            self.assertIn("warned 41\n", log)
        self.assertEqual(worker.get_log("stdout", size=3), worker.get_log("stdout")[-3:])
        silent = self.o.execute_sql("SELECT 1")
        self.assertEqual(silent.get_task_workers()[0].get_log("stdout"), "")


class Limits(unittest.TestCase):
    def server(self, **variables):
        server = harness.Server(meta=harness.new_database(), variables=variables)
        self.addCleanup(server.close)
        return server.start()

    def endless(self, o, before="pass"):
        source = HEAD + f'@annotate("bigint->bigint")\nclass F(object):\n    def evaluate(self, n):\n        {before}\n        while True:\n            n = n + 1\n'
        resource = o.create_resource("m.py", "py", fileobj=io.BytesIO(source.encode()))
        o.create_function("endless", class_type="m.F", resources=[resource])

    def test_cpu_time_has_a_limit(self):
        o = self.server(FEITIAN_USER_CODE__CPU_TIME="1s").entry()
        self.endless(o)
        with self.assertRaises(errors.ODPSError) as caught:
            o.execute_sql("SELECT endless(1)")
        self.assertRegex(str(caught.exception), "ODPS-0123055|ODPS-0123144")
        self.assertIn("CPU time", str(caught.exception))

    def test_stopping_an_instance_ends_its_processes(self):
        server = self.server()
        o = server.entry()
        self.endless(o)
        job = o.run_sql("SELECT endless(1)")
        wait_for("a process of the function", lambda: descendants(server.process.pid))
        job.stop()
        job.wait_for_completion()
        self.assertEqual(job.status, job.Status.TERMINATED)
        wait_for("the end of the processes", lambda: not descendants(server.process.pid))
        with o.execute_sql("SELECT 1").open_reader(tunnel=True) as reader:
            self.assertEqual([tuple(record.values) for record in reader], [(1,)])

    # prctl(2): 1 is PR_SET_PDEATHSIG, the signal that a process gets when its parent ends.
    STAYS = "import ctypes, os; ctypes.CDLL(None).prctl(1, 0); os.setsid(); print('stays', flush=True)"

    def test_stopping_an_instance_ends_processes_that_want_to_stay(self):
        server = self.server()
        o = server.entry()
        self.endless(o, self.STAYS)
        job = o.run_sql("SELECT endless(1)")
        wait_for("the process in its loop", lambda: any(cpu_ticks(pid) > 50 for pid in descendants(server.process.pid)))
        below = descendants(server.process.pid)
        job.stop()
        job.wait_for_completion()
        wait_for("the end of the processes", lambda: not any(alive(pid) for pid in below))

    def test_processes_end_with_a_server_that_is_killed(self):
        server = self.server()
        o = server.entry()
        self.endless(o, self.STAYS)
        o.run_sql("SELECT endless(1)")
        wait_for("the process in its loop", lambda: any(cpu_ticks(pid) > 50 for pid in descendants(server.process.pid)))
        below = descendants(server.process.pid)
        server.kill()
        wait_for("the end of the processes", lambda: not any(alive(pid) for pid in below))

    def test_an_interpreter_that_is_missing_is_named(self):
        o = self.server(FEITIAN_USER_CODE__PYTHON="/nowhere/python3").entry()
        self.endless(o)
        with self.assertRaises(errors.ODPSError) as caught:
            o.execute_sql("SELECT endless(1)")
        self.assertIn("ODPS-0121125", str(caught.exception))
        self.assertIn("/nowhere/python3", str(caught.exception))


def cpu_ticks(pid):
    """The CPU time of a process in its own code, in ticks of 10 ms (proc(5), field utime)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            return int(file.read().rsplit(")", 1)[1].split()[11])
    except OSError:
        return 0


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Tables(UdfCase):
    WORDS = """
        @annotate("string,bigint->string,bigint")
        class F(BaseUDTF):
            def process(self, text, least):
                for word in (text or "").split():
                    if len(word) >= least:
                        self.forward(word, len(word))

            def close(self):
                pass
    """
    TEXTS = ["a bb ccc", "", None, "dddd a"]

    def texts(self):
        table = self.table("n bigint, s string")
        self.o.write_table(table, [[n, text] for n, text in enumerate(self.TEXTS)])
        return table.name

    def want(self, least):
        return [(n, w, len(w)) for n, text in enumerate(self.TEXTS) for w in (text or "").split() if len(w) >= least]

    def test_lateral_view_has_the_rows_that_are_forwarded(self):
        name, table = self.function(self.WORDS), self.texts()
        sql = f"SELECT n, w, l FROM {table} LATERAL VIEW {name}(s, 2L) v AS w, l ORDER BY n, w LIMIT 100"
        self.assertEqual(self.query(sql), self.want(2))

    def test_lateral_view_outer_keeps_rows_of_which_nothing_is_made(self):
        name, table = self.function(self.WORDS), self.texts()
        kept = [(n, None, None) for n, text in enumerate(self.TEXTS) if not (text or "").split()]
        sql = f"SELECT n, w, l FROM {table} LATERAL VIEW OUTER {name}(s, 1L) v AS w, l ORDER BY n, w LIMIT 100"
        self.assertEqual(self.query(sql), sorted(self.want(1) + kept, key=lambda row: (row[0], row[1] or "")))

    def test_the_only_item_of_a_select_list(self):
        name, table = self.function(self.WORDS), self.texts()
        self.assertCountEqual(self.query(f"SELECT {name}(s, 1) AS (w, l) FROM {table}"), [row[1:] for row in self.want(1)])
        self.assertEqual(self.query(f"SELECT {name}('x yy', 2L) AS (w, l)"), [("yy", 2)])

    def test_what_stands_in_its_place_is_checked(self):
        table_function, table = self.function(self.WORDS), self.texts()
        scalar = self.function('@annotate("string->string")\nclass F(object):\n    def evaluate(self, s):\n        return s\n')
        for sql in (
            f"SELECT n, {table_function}(s, 1L) FROM {table}",
            f"SELECT w FROM {table} LATERAL VIEW {scalar}(s) v AS w",
            f"SELECT w FROM {table} LATERAL VIEW {table_function}(s, 1L) v AS w",
            f"SELECT w FROM {table} LATERAL VIEW upper(s) v AS w",
        ):
            self.assertIn("ODPS-0130071", self.fails(sql))

    RUNS = """
        @annotate("string,bigint->string,bigint,bigint")
        class F(BaseUDTF):
            def __init__(self):
                self.key, self.rows, self.sum = None, 0, 0

            def process(self, key, n):
                if key != self.key:
                    self.close()
                    self.key, self.rows, self.sum = key, 0, 0
                self.rows += 1
                self.sum += n

            def close(self):
                if self.rows:
                    self.forward(self.key, self.rows, self.sum)
    """

    def test_rows_come_to_one_object_in_their_order_until_its_end(self):
        name = self.function(self.RUNS)
        table = self.table("k string, n bigint")
        # In two uploads, so that there are files whose rows lie between each other.
        rows = [[f"k{i % 50}", i] for i in range(20_000)]
        self.o.write_table(table, rows[::2])
        self.o.write_table(table, rows[1::2])
        want = [(f"k{k}", 400, sum(n for key, n in rows if key == f"k{k}")) for k in range(50)]
        source = f"(SELECT k, n FROM {table.name} DISTRIBUTE BY k SORT BY k, n) s"
        self.assertCountEqual(self.query(f"SELECT {name}(k, n) AS (k, c, s) FROM {source}"), want)
        # The order is by a column that goes no further.
        hidden = f"(SELECT CONCAT('k', CAST(n % 50 AS STRING)) AS g, n FROM {table.name} DISTRIBUTE BY k SORT BY k) s"
        self.assertCountEqual(self.query(f"SELECT {name}(g, n) AS (k, c, s) FROM {hidden}"), want)
        # Once more from the start, whoever has had the process before; and what comes at the end of a LATERAL VIEW.
        lateral = f"SELECT v.k, c, v.s FROM {source} LATERAL VIEW {name}(s.k, s.n) v AS k, c, s"
        self.assertCountEqual(self.query(lateral), want)
        self.assertEqual(self.query(f"SELECT {name}(k, n) AS (k, c, s) FROM {source} WHERE n < 0"), [])
        total = f"SELECT SUM(c), SUM(s) FROM (SELECT {name}('all', n) AS (k, c, s) FROM {table.name}) t"
        self.assertEqual(self.query(total), [(20_000, sum(range(20_000)))])
        said = self.fails(f"SELECT s.n, c FROM {source} LATERAL VIEW {name}(s.k, s.n) v AS k, c, s")
        self.assertIn("close()", said)

    def test_a_row_of_another_width_is_an_error(self):
        name = self.function("""
            @annotate("bigint->bigint,bigint")
            class F(BaseUDTF):
                def process(self, n):
                    self.forward(n)
        """)
        said = self.fails(f"SELECT {name}(1L) AS (a, b)")
        self.assertIn("ODPS-0123055", said)
        self.assertIn("forward()", said)


class Aggregates(UdfCase):
    MEAN = """
        @annotate("bigint,double->double")
        class F(BaseUDAF):
            def new_buffer(self):
                return {"sum": 0, "weight": 0}

            def iterate(self, buffer, n, weight):
                if n is not None:
                    buffer["sum"] += n * weight
                    buffer["weight"] += weight

            def merge(self, buffer, other):
                buffer["sum"] += other["sum"]
                buffer["weight"] += other["weight"]

            def terminate(self, buffer):
                return buffer["sum"] / buffer["weight"] if buffer["weight"] else None
    """

    def test_groups_and_the_whole(self):
        name = self.function(self.MEAN)
        table = self.table("k string, n bigint, w double")
        # Whole numbers and halves, whose sums are exact in any order.
        rows = [[f"k{i % 7}", i if i % 5 else None, (i % 4) / 2] for i in range(20_000)]
        self.o.write_table(table, rows)

        def mean(some):
            weight = sum(w for _, n, w in some if n is not None)
            return sum(n * w for _, n, w in some if n is not None) / weight if weight else None

        want = [(key, mean([row for row in rows if row[0] == key])) for key in sorted({row[0] for row in rows})]
        sql = f"SELECT k, {name}(n, w) AS m FROM {table.name} GROUP BY k ORDER BY k LIMIT 100"
        self.assertEqual(self.query(sql), want)
        self.assertEqual(self.query(f"SELECT {name}(n, w) FROM {table.name}"), [(mean(rows),)])
        self.assertEqual(self.query(f"SELECT {name}(n, w) FROM {table.name} WHERE n < 0"), [(None,)])
        self.assertEqual(
            self.query(f"SELECT k FROM {table.name} GROUP BY k HAVING {name}(n, w) > 1e9 ORDER BY k LIMIT 9"), []
        )

    def test_an_exception_has_its_traceback(self):
        name = self.function("""
            @annotate("bigint->bigint")
            class F(BaseUDAF):
                def new_buffer(self):
                    return [0]

                def iterate(self, buffer, n):
                    buffer[1] = n

                def merge(self, buffer, other):
                    pass

                def terminate(self, buffer):
                    return buffer[0]
        """)
        said = self.fails(f"SELECT {name}(1L)")
        for words in ("ODPS-0123055", "in iterate", "IndexError"):
            self.assertIn(words, said)

    def test_each_value_counts_once(self):
        name = self.function("""
            @annotate("bigint->bigint")
            class F(BaseUDAF):
                def new_buffer(self):
                    return [0]

                def iterate(self, buffer, n):
                    buffer[0] += n

                def merge(self, buffer, other):
                    buffer[0] += other[0]

                def terminate(self, buffer):
                    return buffer[0]
        """)
        table = self.table("k string, n bigint")
        self.o.write_table(table, [[f"k{i % 3}", i % 5] for i in range(300)])
        self.assertEqual(self.query(f"SELECT {name}(DISTINCT n) FROM {table.name}"), [(sum(range(5)),)])
        grouped = f"SELECT k, {name}(DISTINCT n) FROM {table.name} GROUP BY k"
        self.assertCountEqual(self.query(grouped), [(f"k{k}", sum(range(5))) for k in range(3)])
        beside = f"SELECT k, {name}(DISTINCT n), COUNT(*), {name}(n) FROM {table.name} GROUP BY k"
        self.assertCountEqual(self.query(beside), [(f"k{k}", sum(range(5)), 100, 200) for k in range(3)])
        none = f"SELECT {name}(DISTINCT n), COUNT(*) FROM {table.name} WHERE k = 'x'"
        self.assertEqual(self.query(none), [(0, 0)])

    def test_rows_of_several_arguments_count_once(self):
        name = self.function(self.MEAN)
        table = self.table("n bigint, w double")
        self.o.write_table(table, [[1, 1.0], [1, 1.0], [4, 1.0], [4, 0.5], [None, 9.0], [4, 0.5]])
        self.assertEqual(self.query(f"SELECT {name}(DISTINCT n, w) FROM {table.name}"), [(2.8,)])

    def test_clauses_that_do_not_work_are_refused(self):
        name = self.function(self.MEAN)
        self.assertIn("ODPS-0121125", self.fails(f"SELECT {name}(1L, 1.0) OVER (PARTITION BY 1)"))
