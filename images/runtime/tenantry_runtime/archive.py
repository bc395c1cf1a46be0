"""Fetches and unpacks a script-mode job's sources.

An archive is hostile: members that would leave the directory, links that point outside and devices are
refused, and the unpacked size is bounded.
"""

import os
import shutil
import tarfile
from pathlib import Path
from urllib.parse import urlparse

from .failure import UserError

MAX_UNPACKED_BYTES = 10 * 1024**3
MAX_MEMBERS = 200_000


def download(uri, target):
    """Copies `s3://bucket/key` to the file `target` with the job's own credentials."""
    import boto3

    parsed = urlparse(uri)
    key = parsed.path.lstrip("/")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("SAGEMAKER_REGION")
    try:
        boto3.session.Session(region_name=region).client("s3").download_file(parsed.netloc, key, str(target))
    except Exception as error:
        raise UserError(f"cannot download {uri}: {error}") from error


def _inside(base, name):
    path = os.path.realpath(os.path.join(base, name))
    return path == base or path.startswith(base + os.sep)


def _checked(archive, base):
    total = 0
    for count, member in enumerate(archive):
        total += max(member.size, 0)
        if count >= MAX_MEMBERS or total > MAX_UNPACKED_BYTES:
            raise UserError("the source archive is too large when unpacked")
        if not _inside(base, member.name):
            raise UserError(f"the source archive has a member outside its directory: {member.name}")
        if member.issym() and not _inside(base, os.path.join(os.path.dirname(member.name), member.linkname)):
            raise UserError(f"the source archive has a link to outside its directory: {member.name}")
        if member.islnk() and not _inside(base, member.linkname):
            raise UserError(f"the source archive has a link to outside its directory: {member.name}")
        if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
            raise UserError(f"the source archive has a member that is no file: {member.name}")
        member.mode &= 0o755
        member.uid, member.gid = os.getuid(), os.getgid()
        yield member


def extract(path, directory):
    """Unpacks a tar archive (any compression) into `directory`; raises UserError on a bad one."""
    base = os.path.realpath(directory)
    os.makedirs(base, exist_ok=True)
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in _checked(archive, base):
                archive.extract(member, base, numeric_owner=True)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"cannot unpack the source archive {path}: {error}") from error


def fetch_sources(uri, directory):
    """Puts the sources named by `uri` (s3://, a tar file or a directory) into `directory`."""
    directory = Path(directory)
    if uri.startswith("s3://"):
        directory.mkdir(parents=True, exist_ok=True)
        packed = directory.parent / ".sourcedir.tar.gz"
        download(uri, packed)
        try:
            extract(packed, directory)
        finally:
            packed.unlink()
        return
    path = Path(uri[len("file://"):] if uri.startswith("file://") else uri)
    if path.is_dir():
        if path.resolve() != directory.resolve():
            shutil.copytree(path, directory, dirs_exist_ok=True)
    elif path.is_file():
        extract(path, directory)
    else:
        raise UserError(f"sagemaker_submit_directory `{uri}` is neither an S3 URI, a file nor a directory")
