"""S3: objects with versions, read whole or in part."""

import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.response import StreamingBody

from tests.quick.refusal import Refusal

type Asked = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of an object."""

    version: str
    data: bytes
    etag: str
    kind: str
    written: datetime


@dataclass
class Buckets:
    """All buckets, by the operations of their API."""

    clock: Callable[[], datetime]
    objects: dict[tuple[str, str], list[Stored]] = field(default_factory=dict)
    versioned: set[str] = field(default_factory=set)
    _versions: int = 0

    def create_bucket(self, _asked: Asked) -> Asked:
        return {}

    def put_bucket_versioning(self, asked: Asked) -> Asked:
        self.versioned.add(asked["Bucket"])
        return {}

    def put_object(self, asked: Asked) -> Asked:
        body = asked["Body"]
        data = body if isinstance(body, bytes) else body.read()
        self._versions += 1
        stored = Stored(
            f"version{self._versions}",
            data,
            f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"',
            asked.get("ContentType", "binary/octet-stream"),
            self.clock(),
        )
        key, kept = (asked["Bucket"], asked["Key"]), asked["Bucket"] in self.versioned
        self.objects[key] = [*(self.objects.get(key, []) if kept else []), stored]
        return {"ETag": stored.etag} | ({"VersionId": stored.version} if kept else {})

    def get_object(self, asked: Asked) -> Asked:
        stored = self._find(asked)
        if asked.get("IfMatch", stored.etag) != stored.etag:
            raise Refusal("PreconditionFailed", "At least one of the pre-conditions did not hold", status=412)
        data = stored.data
        if asked.get("Range"):
            match = re.fullmatch(r"bytes=(\d+)-(\d+)", asked["Range"])
            assert match, f"not understood: {asked['Range']}"
            first, last = map(int, match.groups())
            if first >= len(data):
                raise Refusal("InvalidRange", "The requested range is not satisfiable", status=416)
            data = data[first : last + 1]
        body = StreamingBody(io.BytesIO(data), len(data))
        return self._head(stored) | {"Body": body, "ContentLength": len(data)}

    def head_object(self, asked: Asked) -> Asked:
        return self._head(self._find(asked, gone="404"))

    def get_object_tagging(self, asked: Asked) -> Asked:
        self._find(asked)
        return {"TagSet": []}

    def delete_object(self, asked: Asked) -> Asked:
        """Delete one version, or the only one; nobody leaves a mark of deletion among versions."""
        key, version = (asked["Bucket"], asked["Key"]), asked.get("VersionId")
        assert version or asked["Bucket"] not in self.versioned, f"not understood: {asked}"
        found = self.objects.get(key, [])
        self.objects[key] = [one for one in found if version not in {None, one.version}]
        return {}

    def list_object_versions(self, asked: Asked) -> Asked:
        """List the keys in their order, and of each the newest version first."""
        found = [
            {"Key": key, "VersionId": one.version, "Size": len(one.data), "LastModified": one.written}
            for (bucket, key), versions in sorted(self.objects.items())
            for one in reversed(versions)
            if bucket == asked["Bucket"]
        ]
        return {"IsTruncated": False} | ({"Versions": found} if found else {})

    def list_objects_v2(self, asked: Asked) -> Asked:
        found = sorted(
            (key, versions[-1])
            for (bucket, key), versions in self.objects.items()
            if bucket == asked["Bucket"] and key.startswith(asked.get("Prefix", "")) and versions
        )
        items = [{"Key": key, "Size": len(one.data), "ETag": one.etag} for key, one in found]
        return {"KeyCount": len(items), "IsTruncated": False} | ({"Contents": items} if items else {})

    def _find(self, asked: Asked, *, gone: str = "NoSuchKey") -> Stored:
        versions = self.objects.get((asked["Bucket"], asked["Key"]), [])
        wanted = asked.get("VersionId")
        found = [one for one in versions if wanted in {None, one.version}]
        if not found:
            code = "NoSuchVersion" if wanted and gone == "NoSuchKey" else gone
            raise Refusal(code, f"{asked['Key']} does not exist", status=404)
        return found[-1]

    @staticmethod
    def _head(stored: Stored) -> Asked:
        return {
            "ContentLength": len(stored.data),
            "ETag": stored.etag,
            "ContentType": stored.kind,
            "LastModified": stored.written,
            "Metadata": {},
        }
