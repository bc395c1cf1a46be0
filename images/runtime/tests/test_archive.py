"""Source archives are hostile: nothing may leave the directory they are unpacked into."""

import io
import tarfile
import tempfile
import unittest
from pathlib import Path

import support  # noqa: F401  puts the package on the path
from tenantry_runtime import archive
from tenantry_runtime.failure import UserError


def packed(*members):
    """A .tar.gz of (TarInfo, bytes)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def info(name, kind=tarfile.REGTYPE, link=""):
    """A member."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, 0o6777
    return made


class Extract(unittest.TestCase):
    def setUp(self):
        self.base = tempfile.TemporaryDirectory()
        self.addCleanup(self.base.cleanup)
        self.target = Path(self.base.name) / "code"

    def extract(self, *members):
        path = Path(self.base.name) / "a.tar.gz"
        path.write_bytes(packed(*members))
        archive.extract(str(path), self.target)

    def test_plain_files_arrive_without_set_id_bits(self):
        self.extract((info("sub/train.py"), b"x"))
        path = self.target / "sub" / "train.py"
        self.assertEqual(path.read_bytes(), b"x")
        self.assertEqual(path.stat().st_mode & 0o7022, 0)

    def test_what_would_leave_the_directory_is_refused(self):
        cases = [[(info("../out"), b"x")], [(info("/tmp/out"), b"x")], [(info("a/../../out"), b"x")],
                 [(info("l", tarfile.SYMTYPE, "/etc/passwd"), b"")], [(info("l", tarfile.SYMTYPE, "../x"), b"")],
                 [(info("l", tarfile.LNKTYPE, "../x"), b"")], [(info("dev", tarfile.CHRTYPE), b"")],
                 [(info("fifo", tarfile.FIFOTYPE), b"")]]
        for members in cases:
            with self.subTest(members[0][0].name), self.assertRaises(UserError):
                self.extract(*members)
        self.assertFalse((Path(self.base.name) / "out").exists())

    def test_an_archive_that_is_none_is_the_users_error(self):
        path = Path(self.base.name) / "a.tar.gz"
        path.write_bytes(b"not a tar")
        with self.assertRaises(UserError):
            archive.extract(str(path), self.target)

    def test_a_missing_source_is_named(self):
        with self.assertRaisesRegex(UserError, "/nowhere"):
            archive.fetch_sources("/nowhere", self.target)


if __name__ == "__main__":
    unittest.main()
