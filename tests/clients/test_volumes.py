"""Volumes as PyODPS makes, writes, reads and drops them: odps/models/volumes.py, volume_parted.py, volume_fs.py.

Expected values are what was written; error classes are those of odps/errors.py.
"""

import contextlib
import unittest
import warnings

from odps import errors
from odps.models import FSVolume, FSVolumeDir, FSVolumeFile, PartedVolume
from odps.tunnel import CompressOption, VolumeTunnel

import harness
from harness import ClientCase, unique

BLOCK = bytes(i % 251 for i in range(1048500))
# A chunk of the client has 512 KiB.
SIZES = (1, 524287, 524288, 524289, len(BLOCK))


@contextlib.contextmanager
def quiet():
    """PyODPS calls volumes with directories experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


class VolumeCase(ClientCase):
    def setUp(self):
        super().setUp()
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        stack.enter_context(quiet())

    def parted(self):
        name = unique("parts")
        self.o.create_parted_volume(name)
        self.addCleanup(self.forget, name)
        return self.o.get_volume(name)

    def fs(self):
        name = unique("fs")
        self.o.create_fs_volume(name)
        self.addCleanup(self.forget, name)
        return self.o.get_volume(name)

    def forget(self, name):
        try:
            self.o.delete_volume(name)
        except errors.NoSuchObject:
            pass


class Volumes(VolumeCase):
    def test_volumes_are_made_listed_and_dropped(self):
        parted, fs = self.parted(), self.fs()
        again = self.server.entry()
        self.assertIsInstance(again.get_volume(parted.name), PartedVolume)
        self.assertIsInstance(again.get_volume(fs.name), FSVolume)
        self.assertEqual(again.get_volume(fs.name).owner, "ALIYUN$demo")
        self.assertTrue(self.o.exist_volume(fs.name))
        self.assertFalse(self.o.exist_volume("never_was"))
        listed = [volume.name for volume in again.list_volumes()]
        self.assertLess(listed.index(fs.name), listed.index(parted.name))
        with self.assertRaises(errors.ODPSError):
            self.o.create_fs_volume(parted.name)
        self.o.delete_volume(fs.name)
        self.assertFalse(self.server.entry().exist_volume(fs.name))
        with self.assertRaises(errors.NoSuchObject):
            self.o.delete_volume(fs.name)

    def test_external_volumes_are_refused(self):
        with self.assertRaises(errors.MethodNotAllowed) as caught:
            self.o.create_external_volume(unique("ext"), location="oss://endpoint/bucket/dir")
        self.assertIn("EXTERNAL", str(caught.exception))

    def test_volumes_lie_in_schemas(self):
        schema, name = unique("s"), unique("v")
        self.o.create_schema(schema)
        self.addCleanup(self.o.delete_schema, schema)
        self.o.create_parted_volume(name, schema=schema)
        self.assertFalse(self.o.exist_volume(name))
        self.assertTrue(self.o.exist_volume(name, schema=schema))
        with self.assertRaises(errors.ODPSError):
            self.o.delete_schema(schema)
        self.o.delete_volume(name, schema=schema)


class Partitions(VolumeCase):
    def test_files_come_back_as_they_were_written(self):
        volume = self.parted()
        partition = volume.get_partition("part")
        self.assertFalse(volume.exist_partition("part"))
        contents = {f"file{n}": BLOCK[:n] for n in SIZES}
        contents["sub/目录 ä.bin"] = bytes(range(256))
        with partition.open_writer() as writer:
            for name, content in contents.items():
                writer.write(name, content)
        self.assertTrue(volume.exist_partition("part"))
        again = self.server.entry().get_volume_partition(f"/{volume.name}/part")
        again.reload()
        self.assertEqual((again.file_number, again.length), (len(contents), sum(map(len, contents.values()))))
        self.assertEqual(sorted(f.name for f in again.list_files()), sorted(contents))
        for name, content in contents.items():
            with self.subTest(name=name), again.open_reader(name) as reader:
                self.assertEqual(reader.read(), content)
        with again.open_reader(f"file{len(BLOCK)}", start=524280, length=20) as reader:
            self.assertEqual(reader.read(), BLOCK[524280:524300])
        with self.assertRaises(errors.ODPSError):
            again.open_reader("never_was")

    def test_a_content_is_compressed_on_its_way(self):
        partition = self.parted().get_partition("part")
        option = CompressOption(level=9)
        with partition.open_writer(compress_option=option) as writer:
            writer.write("f", BLOCK, compress=True)
        with partition.open_reader("f", compress_option=option) as reader:
            self.assertEqual(reader.read(), BLOCK)

    def test_lines_are_read(self):
        partition = self.parted().get_partition("part")
        with partition.open_writer() as writer:
            writer.write("f", "one, \r\ntwo\n\n")
        with partition.open_reader("f") as reader:
            self.assertEqual(list(reader), ["one, \n", "two\n", "\n"])

    def test_files_are_listed_in_pages_and_a_partition_is_dropped(self):
        volume = self.parted()
        for part in ("a", "b", "c"):
            with volume.open_writer(part) as writer:
                writer.write("f1", b"1")
                writer.write("f2", b"2")
        files = volume.get_partition("b").files
        self.assertEqual([f.name for f in files.iterate(max_items=1)], ["f1", "f2"])
        self.assertEqual([f.name for f in files.iterate(name="f2")], ["f2"])
        self.o.delete_volume_partition(f"/{volume.name}/b")
        self.assertEqual([p.name for p in self.server.entry().get_volume(volume.name).list_partitions()], ["a", "c"])
        with self.assertRaises(errors.NoSuchObject):
            self.o.delete_volume_partition(f"/{volume.name}/b")

    def test_nothing_is_there_before_the_commit_and_a_reader_goes_on(self):
        volume = self.parted()
        partition = volume.get_partition("part")
        with partition.open_writer() as writer:
            writer.write("f", b"old")
        reader = partition.open_reader("f")
        writer = partition.open_writer()
        writer.write("f", b"new")
        writer.open("f").close()
        with self.server.entry().get_volume_partition(f"/{volume.name}/part").open_reader("f") as before:
            self.assertEqual(before.read(), b"old")
        self.assertEqual(reader.read(), b"old")

    def test_a_resource_refers_to_a_file(self):
        volume = self.parted()
        with volume.open_writer("part") as writer:
            writer.write("f.zip", b"PK")
        file = volume.get_partition("part").files["f.zip"]
        for kind in ("volumefile", "volumearchive"):
            with self.subTest(kind=kind):
                name = unique("res")
                made = self.o.create_resource(name, kind, volume_file=file)
                self.addCleanup(made.drop)
                again = self.server.entry().get_resource(name)
                self.assertEqual((again.type.value.lower(), again.volume_path), (kind, file.path))


class Directories(VolumeCase):
    def test_directories_files_and_moves(self):
        volume = self.fs()
        self.o.create_volume_directory(f"{volume.path}/dir")
        directory = volume["dir"]
        self.assertIsInstance(directory, FSVolumeDir)
        path = f"{directory.path}/f.bin"
        with self.o.open_volume_writer(path) as writer:
            writer.write(BLOCK)
        self.assertIn("f.bin", directory)
        self.assertNotIn("never_was", directory)
        self.assertEqual([f.path for f in self.o.list_volume_files(directory.path)], [path])
        file = directory["f.bin"]
        self.assertIsInstance(file, FSVolumeFile)
        self.assertEqual(file.length, len(BLOCK))
        with file.open_reader() as reader:
            self.assertEqual(reader.read(), BLOCK)
        with file.open_reader(start=524280, length=20) as reader:
            self.assertEqual(reader.read(), BLOCK[524280:524300])
        file.replication = 5
        self.assertEqual(file.replication, 5)
        self.o.move_volume_file(file.path, ".//g.bin", replication=10)
        self.assertEqual((file.path, file.replication), (f"{directory.path}/g.bin", 10))
        self.assertNotIn("f.bin", self.server.entry().get_volume(volume.name)["dir"])
        with self.assertRaises(errors.ODPSError):
            directory.delete()
        self.o.delete_volume_file(file.path)
        directory.delete()
        self.assertNotIn("dir", volume)

    def test_contents_of_all_sizes_come_back(self):
        volume = self.fs()
        for size in SIZES:
            with self.subTest(size=size):
                with volume.open_writer("f") as writer:
                    writer.write(BLOCK[:size])
                with volume.open_reader("f") as reader:
                    self.assertEqual(reader.read(), BLOCK[:size])

    def test_a_content_is_compressed_on_its_way(self):
        volume, option = self.fs(), CompressOption(level=9)
        with volume.open_writer("f", compress_option=option) as writer:
            writer.write(BLOCK)
        with volume.open_reader("f", compress_option=option) as reader:
            parts = []
            while part := reader.read(10003):
                parts.append(part)
            self.assertEqual(b"".join(parts), BLOCK)

    def test_a_directory_goes_with_all_that_is_in_it(self):
        volume = self.fs()
        for path in ("a/b/c", "a/d"):
            with volume.open_writer(path) as writer:
                writer.write(b"x")
        volume["a"].delete(recursive=True)
        self.assertEqual([f.path for f in self.server.entry().get_volume(volume.name)], [])


class Kept(unittest.TestCase):
    def test_what_was_acknowledged_survives_a_kill(self):
        server = harness.Server(meta=harness.new_database())
        self.addCleanup(server.close)
        o = server.start().entry()
        o.create_fs_volume("v")
        with quiet(), o.get_volume("v").open_writer("dir/f") as writer:
            writer.write(BLOCK)
        o.create_parted_volume("w")
        session = VolumeTunnel(o).create_upload_session("w", "part")
        with session.open("g") as writer:
            writer.write(BLOCK)
        server.kill()
        o = server.start().entry()
        with quiet(), o.get_volume("v").open_reader("dir/f") as reader:
            self.assertEqual(reader.read(), BLOCK)
        # The session goes on; its commit may come twice.
        session = VolumeTunnel(o).create_upload_session("w", "part", upload_id=session.id)
        for _ in range(2):
            session.commit(["g"])
        server.kill()
        o = server.start().entry()
        with o.get_volume("w").open_reader("part", "g") as reader:
            self.assertEqual(reader.read(), BLOCK)

    def test_an_upload_is_not_held_in_memory(self):
        server = harness.Server(meta=harness.new_database())
        self.addCleanup(server.close)
        o = server.start().entry()
        o.create_parted_volume("v")
        before = server.peak_memory()
        with o.get_volume("v").open_writer("part") as writer:
            for _ in range(300):
                writer.write("f", BLOCK)
        with o.get_volume("v").get_partition("part").open_reader("f") as reader:
            length = 0
            while piece := reader.read(1 << 20):
                length += len(piece)
        self.assertEqual(length, 300 * len(BLOCK))
        # Less than a third of the content: parts of the store, and what allocators keep of them.
        self.assertLess(server.peak_memory() - before, 96 << 20)
