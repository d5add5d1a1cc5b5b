"""The controllers, and their loops started together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from vmpod.base.clock import Clock
from vmpod.client.cache import Cache
from vmpod.client.client import Client
from vmpod.controllers import (
    dataimportcron,
    datasource,
    datavolume,
    deployment,
    endpoints,
    endpointslice,
    endpointslicemirroring,
    evacuation,
    events,
    garbage,
    namespace,
    objecttransfer,
    populator,
    replicaset,
    scheduler,
    served,
    service,
    storageprofile,
    virtualmachine,
    virtualmachineclone,
    virtualmachineexport,
    virtualmachineinstance,
    virtualmachineinstancemigration,
    virtualmachineinstancereplicaset,
    virtualmachinepool,
    virtualmachinerestore,
    virtualmachinesnapshot,
)
from vmpod.controllers.config import ControllerConfig
from vmpod.reconcile.events import Recorder
from vmpod.reconcile.loop import Loop

CONTROLLERS: tuple[ModuleType, ...] = (
    dataimportcron, datasource, datavolume, deployment, endpoints, endpointslice, endpointslicemirroring, evacuation,
    events, garbage, namespace, objecttransfer, populator, replicaset, scheduler, served, service, storageprofile,
    virtualmachine, virtualmachineclone, virtualmachineexport, virtualmachineinstance, virtualmachineinstancemigration,
    virtualmachineinstancereplicaset, virtualmachinepool,
    virtualmachinerestore, virtualmachinesnapshot,
)
# Told about the home: their `gather` takes the configuration too.
_CONFIGURED = (namespace, scheduler, served, service, virtualmachineexport)
# These hand out what exists once (room on a node, addresses, turns): two plans at a time could hand out the same.
_ONE_AT_A_TIME = (scheduler, service, virtualmachineinstancemigration)
# Under whose name events are recorded, as upstream signs them.
_COMPONENTS = {
    datavolume: "datavolume-import-controller", scheduler: "default-scheduler", service: "service-controller",
    virtualmachine: "virtualmachine-controller", virtualmachineinstance: "virtualmachine-controller",
    virtualmachineinstancemigration: "virtualmachine-controller", evacuation: "disruptionbudget-controller",
    virtualmachineclone: "clone-controller", virtualmachineexport: "export-controller",
    virtualmachinerestore: "restore-controller", virtualmachinesnapshot: "snapshot-controller",
}

RecorderFactory = Callable[[str], Recorder]
AnyLoop = Loop[Any, Any]


def start_all(
    client: Client, cache: Cache, recorder_factory: RecorderFactory, clock: Clock, config: ControllerConfig
) -> list[AnyLoop]:
    """Start one loop per controller; the caller stops them. The cache must have been started and hold all kinds.

    `recorder_factory` makes the Recorder of a component from its name.
    """
    loops = [_loop(one, client, cache, recorder_factory, clock, config) for one in CONTROLLERS]
    for loop in loops:
        loop.start()
    return loops


def _loop(
    controller: ModuleType, client: Client, cache: Cache, recorder_factory: RecorderFactory, clock: Clock,
    config: ControllerConfig,
) -> AnyLoop:
    word = controller.__name__.rpartition(".")[2]
    gather = partial(controller.gather, config=config) if controller in _CONFIGURED else controller.gather
    watches = garbage.watches(cache.kinds) if controller is garbage else controller.WATCHES
    recorder = recorder_factory(_COMPONENTS.get(controller, f"{word}-controller"))
    return Loop(
        word, controller.KIND, watches, gather, controller.plan, controller.status, None,
        cache, client, recorder, clock, workers=1 if controller in _ONE_AT_A_TIME else 4,
    )
