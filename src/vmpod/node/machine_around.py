"""What other objects say about a machine: the ports that lead to its guest, the Secrets that belong in it."""

from __future__ import annotations

from vmpod.client.cache import Cache
from vmpod.kinds import SECRET, SERVICE, VIRTUALMACHINEINSTANCE
from vmpod.model.meta import Object, name, namespace
from vmpod.node.machine_watch import Watch
from vmpod.node.status import stages
from vmpod.node.translate import credentials
from vmpod.node.translate.credentials import Credentials


class Neighbours:
    """Looks into the local view only."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def _vmi(self, watch: Watch) -> Object | None:
        return self._cache.get(VIRTUALMACHINEINSTANCE, watch.machine.namespace, watch.machine.name)

    def ports(self, watch: Watch) -> tuple[int, ...]:
        """The TCP ports that somebody says the guest listens on."""
        vmi = self._vmi(watch)
        return stages.ports(vmi, self._cache.list(SERVICE, watch.machine.namespace)) if vmi is not None else ()

    def credentials(self, watch: Watch) -> Credentials | None:
        """What goes into the guest through its agent, None when nothing does."""
        vmi = self._vmi(watch)
        if vmi is None or not credentials.secrets_of(vmi):
            return None
        where = watch.machine.namespace
        return credentials.credentials(vmi, lambda wanted: self._cache.get(SECRET, where, wanted))

    def needs(self, watch: Watch, secret: Object) -> bool:
        """Whether a Secret goes into the machine's guest through its agent."""
        vmi = self._vmi(watch) if namespace(secret) == watch.machine.namespace else None
        return vmi is not None and name(secret) in credentials.secrets_of(vmi)
