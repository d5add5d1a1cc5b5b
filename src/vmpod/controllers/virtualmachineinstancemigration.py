"""VirtualMachineInstanceMigration → a second launcher; the node moves the guest, what it tells is folded back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from vmpod.base.clock import rfc3339
from vmpod.client.cache import Cache
from vmpod.controllers import migrationpolicies
from vmpod.controllers.children import delete, finalizers, without_finalizers
from vmpod.controllers.clusterconfig import configuration
from vmpod.controllers.launcher import JOB_NAME, target_pod
from vmpod.controllers.migrationphases import Seen, conditions_of, failure, left_s, next_phase
from vmpod.kinds import MIGRATIONPOLICY, NAMESPACE, POD, VIRTUALMACHINEINSTANCE, VIRTUALMACHINEINSTANCEMIGRATION
from vmpod.kinds.parts.kubevirt_config import cpu_ratio
from vmpod.kinds.parts.migration import FINAL, MACHINE, is_active
from vmpod.kinds.virtualmachineinstancemigration import FINALIZER
from vmpod.model.meta import Object, get, is_deleting, labels, name, namespace, uid
from vmpod.model.meta import annotations as annotations_of
from vmpod.reconcile.actions import Action, Create, Delete, Note, Patch, Plan
from vmpod.reconcile.loop import Key, Watch, key_of, own

KIND = VIRTUALMACHINEINSTANCEMIGRATION
TARGET_NODE = "kubevirt.io/migrationTargetNodeName"
_KEPT = 5  # ended migrations of one machine
_ROOM_S = 2.0


def _of_machine(vmi: Object, cache: Cache) -> Iterable[Key]:
    return [key_of(one) for one in cache.list(KIND, namespace(vmi)) if labels(one).get(MACHINE) == name(vmi)]


def _of_pod(pod: Object) -> Iterable[Key]:
    job = annotations_of(pod).get(JOB_NAME)
    return ((namespace(pod), job),) if job else ()


WATCHES = (own(KIND), Watch(VIRTUALMACHINEINSTANCE, found=_of_machine), Watch(POD, _of_pod))


def gather(key: Key, cache: Cache, now: datetime) -> Seen | None:
    migration = cache.get(KIND, *key)
    if migration is None:
        return None
    vmi = cache.get(VIRTUALMACHINEINSTANCE, key[0], str(get(migration, "spec", "vmiName", default="")))
    others = [one for one in cache.list(KIND) if uid(one) != uid(migration)]
    ended = [one for one in others if namespace(one) == key[0] and get(one, "status", "phase") in FINAL
             and labels(one).get(MACHINE) == labels(migration).get(MACHINE)]  # fmt: skip
    space, policies = cache.get(NAMESPACE, "", key[0]), cache.list(MIGRATIONPOLICY)
    policy = migrationpolicies.matching(policies, vmi, space) if vmi else None
    launchers = tuple(cache.owned(POD, uid(vmi))) if vmi else ()
    older = tuple(sorted(ended, key=_age, reverse=True))
    config = configuration(cache)
    crowd = _crowd(vmi, others, cache, migrationpolicies.configuration(None, config))
    return Seen(migration, vmi, launchers, crowd, older, policy, now, config)


def _age(migration: Object) -> tuple[str, str]:
    return str(get(migration, "metadata", "creationTimestamp", default="")), name(migration)


def _crowd(vmi: Object | None, others: list[Object], cache: Cache, settings: Object) -> str:
    """Why a migration may not begin yet: KubeVirt's limits for all nodes and for each node that machines leave."""
    moving = [one for one in others if get(one, "status", "phase") not in ("", None, "Pending", *FINAL)]
    if len(moving) >= settings["parallelMigrationsPerCluster"]:
        return f"{len(moving)} machines are on the move, which is the most at a time"
    node = get(vmi, "status", "nodeName")
    machines = [cache.get(VIRTUALMACHINEINSTANCE, namespace(one), str(get(one, "spec", "vmiName"))) for one in moving]
    leaving = sum(get(one, "status", "nodeName") == node for one in machines)
    if leaving >= settings["parallelOutboundMigrationsPerNode"]:
        return f"{leaving} machines leave the node {node}, which is the most at a time"
    return ""


def plan(seen: Seen) -> Plan:
    if seen.vmi is None:
        return Plan(_released(seen) if is_deleting(seen.migration) else (delete(KIND, seen.migration),))
    events = _events(seen)
    if seen.phase in FINAL:
        return Plan((*_left_behind(seen), *_released(seen), *_forgotten(seen)))
    if is_deleting(seen.migration):
        return Plan(tuple(_cancel(seen, seen.vmi)), None, events)
    return Plan(tuple(_steps(seen, seen.vmi)), _again_in(seen), events)


def _released(seen: Seen) -> tuple[Action, ...]:
    held = FINALIZER in finalizers(seen.migration)
    return (without_finalizers(KIND, seen.migration, FINALIZER),) if held else ()


def _left_behind(seen: Seen) -> Iterable[Action]:
    """The launcher without a guest goes: the one that was left, or the one that was not reached."""
    if seen.phase == "Failed":
        lost = seen.target if seen.target is not None and not is_active(seen.vmi, seen.target) else None
    else:
        lost = next((pod for pod in seen.pods if name(pod) == seen.state.get("sourcePod")), None)
    if lost is not None and not is_deleting(lost):
        yield delete(POD, lost, 0)


def _forgotten(seen: Seen) -> Iterable[Delete]:
    mine = [one for one in seen.older if _age(one) < _age(seen.migration)]
    return (delete(KIND, one) for one in mine[_KEPT - 1 :] if not is_deleting(one))


def _cancel(seen: Seen, vmi: Object) -> Iterable[Action]:
    if seen.state and not seen.state.get("abortRequested") and not _is_over(seen):
        yield _tell(vmi, {"abortRequested": True})


def _is_over(seen: Seen) -> bool:
    return bool(seen.state.get("completed") or seen.state.get("failed"))


def _tell(vmi: Object, state: Object) -> Patch:
    return Patch(VIRTUALMACHINEINSTANCE, namespace(vmi), name(vmi), {"status": {"migrationState": state}}, "status")


def _steps(seen: Seen, vmi: Object) -> Iterable[Action]:
    if seen.phase == "Pending" and not seen.crowd and seen.source is not None and seen.target is None:
        yield Create(POD, target_pod(vmi, seen.migration, seen.source, cpu_ratio(seen.config)))
    if seen.phase == "Scheduled" and not seen.state and seen.source is not None and seen.target is not None:
        node = str(get(seen.target, "spec", "nodeName", default=""))
        if labels(vmi).get(TARGET_NODE) != node:
            mark = {"metadata": {"labels": {TARGET_NODE: node}}}
            yield Patch(VIRTUALMACHINEINSTANCE, namespace(vmi), name(vmi), mark)
        yield _tell(vmi, _handed_over(seen, vmi, seen.source, seen.target))


def _handed_over(seen: Seen, vmi: Object, source: Object, target: Object) -> Object:
    """The machine's new migrationState; nothing of an earlier one stays."""
    before = get(vmi, "status", "migrationState", default={})
    fresh = {
        "migrationUid": uid(seen.migration), "mode": "PreCopy", "sourcePod": name(source), "targetPod": name(target),
        "sourceNode": get(source, "spec", "nodeName"), "targetNode": get(target, "spec", "nodeName"),
        "migrationConfiguration": migrationpolicies.configuration(seen.policy, seen.config),
    }  # fmt: skip
    return dict.fromkeys(before) | fresh | ({"migrationPolicyName": name(seen.policy)} if seen.policy else {})


def _again_in(seen: Seen) -> float | None:
    if seen.phase == "Pending" and seen.crowd:
        return _ROOM_S
    left = left_s(seen)
    return max(left, 0.1) if left is not None else None


def _events(seen: Seen) -> tuple[Note, ...]:
    following = next_phase(seen)
    if following == seen.phase:
        return ()
    told = {
        "Failed": ("Warning", "FailedMigration", failure(seen)),
        "Succeeded": ("Normal", "SuccessfulMigration", "Source node reported migration succeeded"),
        "Scheduling": ("Normal", "SuccessfulCreate", f"Created migration target pod {name(seen.target or {})}"),
        "PreparingTarget": ("Normal", "SuccessfulHandOver",
                            "Migration target pod is ready for preparation by virt-handler."),
    }  # fmt: skip
    return (Note(*told[following], seen.migration),) if following in told else ()


def status(seen: Seen, plan: Plan) -> Object | None:
    phase = next_phase(seen)
    fresh: Object = {**(seen.migration.get("status") or {}), "phase": phase}
    if phase != seen.phase:
        moved = {"phase": phase, "phaseTransitionTimestamp": rfc3339(seen.now)}
        fresh["phaseTransitionTimestamps"] = [*(fresh.get("phaseTransitionTimestamps") or ()), moved]
    if seen.state and phase in FINAL:
        fresh["migrationState"] = seen.state
    elif seen.source is not None and phase not in FINAL:
        fresh["migrationState"] = {"sourcePod": name(seen.source)}
    if found := conditions_of(seen, phase):
        fresh["conditions"] = found
    elif "conditions" in fresh:
        del fresh["conditions"]
    return fresh
