"""Where reconcile goes on in its next run."""

from collections.abc import Mapping
from typing import Any, Final

from batchline.aws import dynamo
from batchline.aws.dynamo import Row

BOOKMARKS: Final = "bookmarks"


class Bookmarks(dynamo.Table):
    """Rows of the control table, by the name of what is gone through."""

    def get(self, name: str) -> Row:
        """Read what `set` has written last, or nothing."""
        row = dynamo.get(self.client, self.table, {"pk": BOOKMARKS, "sk": name}) or {}
        return {key: value for key, value in row.items() if key not in {"pk", "sk"}}

    def set(self, name: str, values: Mapping[str, Any]) -> None:
        dynamo.write(self.client, dynamo.put(self.table, {"pk": BOOKMARKS, "sk": name, **values}))
