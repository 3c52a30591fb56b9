"""The control table, in which jobs, budgets and people meet: a module for each kind of its rows.

Answers that may be used again lie in it as well; `aws.cache` knows them.
"""

from batchline.aws import dynamo
from batchline.aws.control.bookmarks import Bookmarks
from batchline.aws.control.budgets import Budgets
from batchline.aws.control.lanes import Lanes
from batchline.aws.control.marks import Marks
from batchline.aws.control.pack_lease import PackLease
from batchline.aws.control.pending import Pending
from batchline.aws.control.slots import Slots
from batchline.aws.control.uploads import Uploads
from batchline.aws.control.versions import Versions


class Control(dynamo.Table):
    """The control table, by what its rows are about."""

    @property
    def pack_lease(self) -> PackLease:
        """Who packs now."""
        return PackLease(self.client, self.table)

    @property
    def pending(self) -> Pending:
        """Shards that no job has taken yet."""
        return Pending(self.client, self.table)

    @property
    def lanes(self) -> Lanes:
        """Which shards may share a job, and how their last jobs went."""
        return Lanes(self.client, self.table)

    @property
    def slots(self) -> Slots:
        """Batch jobs of a model at a time."""
        return Slots(self.client, self.table)

    @property
    def budgets(self) -> Budgets:
        """What is reserved and spent."""
        return Budgets(self.client, self.table)

    @property
    def marks(self) -> Marks:
        """What people have cancelled or approved."""
        return Marks(self.client, self.table)

    @property
    def versions(self) -> Versions:
        """Pipelines, and which version of each is in force."""
        return Versions(self.client, self.table)

    @property
    def uploads(self) -> Uploads:
        """Which uploads have become large documents."""
        return Uploads(self.client, self.table)

    @property
    def bookmarks(self) -> Bookmarks:
        """Where reconcile goes on in its next run."""
        return Bookmarks(self.client, self.table)
