"""Create, update, patch, delete: the semantics that clients build on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Caller

NS = "/api/v1/namespaces/default"
CMS = f"{NS}/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PODS = f"{NS}/pods"
DOMAIN = {"devices": {}, "memory": {"guest": "1Gi"}}


def config(name: str = "a", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"x": "1"}}


def deployment(name: str = "d", image: str = "web:1") -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": image}]}},
        },
    }


async def test_create_completes_metadata(call: Caller) -> None:
    made = await call("POST", CMS, config(uid="mine", creationTimestamp="2000-01-01T00:00:00Z", generation=9), code=201)
    metadata = made["metadata"]
    assert metadata["namespace"] == "default" and metadata["uid"] != "mine"
    assert metadata["creationTimestamp"] > "2026" and int(metadata["resourceVersion"]) > 0
    assert made == await call("GET", f"{CMS}/a")


async def test_create_refusals(call: Caller) -> None:
    await call("POST", CMS, config(), code=201)
    told = await call("POST", CMS, config(), code=409)
    assert (told["reason"], told["message"]) == ("AlreadyExists", 'configmaps "a" already exists')
    told = await call("POST", CMS, config("b", namespace="other"), code=400)
    assert "does not match the namespace sent on the request" in told["message"]
    assert (await call("POST", CMS, config("b", resourceVersion="1"), code=400))["message"] == (
        "resourceVersion should not be set on objects to be created"
    )
    told = await call("POST", CMS, {"metadata": {}}, code=422)
    assert told["details"]["causes"][0]["field"] == "metadata.name"
    assert (await call("POST", CMS, {**config("b"), "kind": "Secret"}, code=400))["reason"] == "BadRequest"
    assert (await call("POST", CMS, b"{", code=400))["status"] == "Failure"
    assert (await call("POST", CMS, b"", code=400))["status"] == "Failure"
    assert (await call("POST", CMS, config("b"), headers={"content-type": "text/csv"}, code=415))["code"] == 415
    await call("POST", "/api/v1/configmaps", config("b"), code=405)


async def test_missing_and_terminating_namespaces_take_nothing(call: Caller) -> None:
    told = await call("POST", "/api/v1/namespaces/none/configmaps", config(), code=404)
    assert told["message"] == 'namespaces "none" not found'
    ended = await call("DELETE", NS)
    assert ended["status"]["phase"] == "Terminating" and ended["metadata"]["deletionTimestamp"]
    told = await call("POST", CMS, config(), code=403)
    assert told["message"] == (
        'configmaps "a" is forbidden: unable to create new content in namespace default because it is being terminated'
    )
    assert told["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    ended["spec"]["finalizers"] = []
    await call("PUT", f"{NS}/finalize", ended)
    await call("GET", NS, code=404)


async def test_generate_name(call: Caller) -> None:
    names = {(await call("POST", CMS, {"metadata": {"generateName": "a-"}}))["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20 and all(name.startswith("a-") and len(name) == 7 for name in names)


async def test_update_locks_optimistically(call: Caller) -> None:
    made = await call("POST", CMS, config())
    await call("PUT", f"{CMS}/a", {**made, "data": {"x": "2"}})
    told = await call("PUT", f"{CMS}/a", {**made, "data": {"x": "3"}}, code=409)
    assert told["message"] == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    unconditional = await call("PUT", f"{CMS}/a", {**config(), "data": {"x": "4"}})
    assert unconditional["metadata"]["uid"] == made["metadata"]["uid"]
    told = await call("PUT", f"{CMS}/a", config("b"), code=400)
    assert told["message"] == "the name of the object (b) does not match the name on the URL (a)"
    told = await call("PUT", f"{CMS}/a", config(uid="other"), code=409)
    assert "Precondition failed: UID in precondition: other" in told["message"]
    await call("PUT", f"{CMS}/none", config("none"), code=404)


async def test_a_change_that_changes_nothing_is_not_stored(call: Caller) -> None:
    made = await call("POST", CMS, config())
    assert await call("PUT", f"{CMS}/a", made) == made
    assert await call.patch(f"{CMS}/a", {"data": {"x": "1"}}) == made


async def test_status_and_spec_have_a_door_each(call: Caller) -> None:
    made = await call("POST", DEPLOYMENTS, {**deployment(), "status": {"replicas": 9}}, code=201)
    assert made["metadata"]["generation"] == 1 and "replicas" not in made.get("status", {})
    changed = await call.patch(f"{DEPLOYMENTS}/d", {"spec": {"replicas": 4}, "status": {"replicas": 9}})
    assert changed["metadata"]["generation"] == 2 and "replicas" not in changed.get("status", {})
    body = {**changed, "spec": {**changed["spec"], "replicas": 7}, "status": {"replicas": 3, "observedGeneration": 2}}
    told = await call("PUT", f"{DEPLOYMENTS}/d/status", body)
    assert (told["spec"]["replicas"], told["status"]["replicas"], told["metadata"]["generation"]) == (4, 3, 2)
    labelled = await call.patch(f"{DEPLOYMENTS}/d", {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 2 and labelled["status"]["replicas"] == 3
    await call("PUT", f"{CMS}/a/status", config(), code=404)


async def test_dry_run_stores_nothing(call: Caller) -> None:
    assert (await call("POST", CMS, config(), code=201, dryRun="All"))["metadata"]["uid"]
    await call("GET", f"{CMS}/a", code=404)
    made = await call("POST", CMS, config())
    assert (await call.patch(f"{CMS}/a", {"data": {"x": "2"}}, dryRun="All"))["data"] == {"x": "2"}
    await call("DELETE", f"{CMS}/a", dryRun="All")
    assert await call("GET", f"{CMS}/a") == made
    await call("POST", CMS, config("b"), code=422, dryRun="Some")


@pytest.mark.parametrize(
    ("kind", "body", "data"),
    [
        ("merge-patch", {"data": {"x": None, "y": "2"}}, {"y": "2"}),
        ("json-patch", [{"op": "replace", "path": "/data/x", "value": "9"}], {"x": "9"}),
        ("strategic-merge-patch", {"data": {"$patch": "replace", "z": "1"}}, {"z": "1"}),
    ],
)
async def test_patch_types(call: Caller, kind: str, body: Any, data: dict[str, str]) -> None:
    await call("POST", CMS, config())
    assert (await call.patch(f"{CMS}/a", body, kind))["data"] == data


async def test_patch_refusals(call: Caller) -> None:
    made = await call("POST", CMS, config())
    await call.patch(f"{CMS}/a", {"data": {"x": "2"}})
    await call.patch(f"{CMS}/a", {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}}, code=409)
    told = await call.patch(f"{CMS}/a", {"metadata": {"name": "b"}}, code=400)
    assert "does not match the name on the URL" in told["message"]
    await call.patch(f"{CMS}/a", [], code=400)
    await call.patch(f"{CMS}/a", {"kind": "Secret"}, code=400)
    apply = {"content-type": "application/apply-patch+yaml"}
    assert "server-side apply" in (await call("PATCH", f"{CMS}/a", {}, headers=apply, code=415))["message"]
    told = await call.patch(f"{CMS}/a", {"nope": 1}, code=422, fieldValidation="Strict")
    assert 'strict decoding error: unknown field "nope"' in told["message"]
    warned = await call.send(
        "PATCH", f"{CMS}/a", {"nope": 1}, headers={"content-type": "application/merge-patch+json"}
    )
    assert warned.headers["warning"] == '299 - "unknown field \\"nope\\""'
    await call("POST", CMS, config("c"), code=422, fieldValidation="Maybe")


async def test_duplicate_fields_are_told(call: Caller) -> None:
    body = b'{"metadata":{"name":"a"},"data":{"x":"1"},"data":{"y":"2"}}'
    told = await call("POST", CMS, body, code=400, fieldValidation="Strict")
    assert told["message"].endswith('strict decoding error: duplicate field "data"')


async def test_concurrent_patches_all_arrive(call: Caller) -> None:
    await call("POST", CMS, config())
    await asyncio.gather(*(call.patch(f"{CMS}/a", {"data": {f"k{n}": "v"}}) for n in range(6)))
    assert len((await call("GET", f"{CMS}/a"))["data"]) == 7


async def test_finalizers_hold_an_object(call: Caller) -> None:
    made = await call("POST", CMS, config(finalizers=["a.io/x"]))
    waiting = await call("DELETE", f"{CMS}/a")
    assert waiting["metadata"]["deletionTimestamp"] and waiting["metadata"]["deletionGracePeriodSeconds"] == 0
    assert await call("DELETE", f"{CMS}/a") == waiting
    told = await call.patch(f"{CMS}/a", {"metadata": {"finalizers": ["a.io/x", "b.io/y"]}}, code=422)
    assert "no new finalizers can be added if the object is being deleted" in told["message"]
    gone = await call.patch(f"{CMS}/a", {"metadata": {"finalizers": None}})
    assert gone["metadata"]["uid"] == made["metadata"]["uid"]
    await call("GET", f"{CMS}/a", code=404)


async def test_delete_answers(call: Caller) -> None:
    made = await call("POST", CMS, config())
    await call("DELETE", f"{CMS}/a", {"preconditions": {"uid": "other"}}, code=409)
    await call("DELETE", f"{CMS}/a", {"preconditions": {"resourceVersion": "1"}}, code=409)
    told = await call("DELETE", f"{CMS}/a", {"preconditions": {"uid": made["metadata"]["uid"]}})
    assert told["status"] == "Success"
    assert told["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert (await call("DELETE", f"{CMS}/a", code=404))["message"] == 'configmaps "a" not found'


async def test_propagation_policies_are_finalizers(call: Caller) -> None:
    for policy, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
        await call("POST", CMS, config())
        waiting = await call("DELETE", f"{CMS}/a", {"propagationPolicy": policy})
        assert waiting["metadata"]["finalizers"] == [finalizer]
        await call("DELETE", f"{CMS}/a", {"propagationPolicy": "Background"})
        await call("GET", f"{CMS}/a", code=404)
    await call("DELETE", f"{CMS}/a", {"propagationPolicy": "Maybe"}, code=422)


async def test_pods_end_gracefully(call: Caller) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"}}
    await call("POST", "/api/v1/nodes", {"metadata": {"name": "n"}})
    made = await call("POST", PODS, pod)
    assert made["spec"]["serviceAccountName"] == "default" and len(made["spec"]["tolerations"]) == 2
    waiting = await call("DELETE", f"{PODS}/p")
    assert waiting["metadata"]["deletionGracePeriodSeconds"] == 30
    sooner = await call("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 5})
    assert sooner["metadata"]["deletionGracePeriodSeconds"] == 5
    assert sooner["metadata"]["deletionTimestamp"] < waiting["metadata"]["deletionTimestamp"]
    assert (await call("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 0}))["kind"] == "Pod"
    await call("GET", f"{PODS}/p", code=404)
    await call("POST", PODS, {**pod, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    await call("DELETE", f"{PODS}/p")
    await call("GET", f"{PODS}/p", code=404)


async def test_a_pod_of_a_node_that_is_not_there_goes_at_once(call: Caller) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "nowhere"}}
    await call("POST", f"{NS}/pods", pod)
    await call("DELETE", f"{NS}/pods/p")
    await call("GET", f"{NS}/pods/p", code=404)


async def test_delete_collection_ends_what_is_selected(call: Caller) -> None:
    for name in ("a", "b", "c"):
        await call("POST", CMS, config(name, labels={"n": name}))
    told = await call("DELETE", CMS, labelSelector="n in (a,b)")
    assert [one["metadata"]["name"] for one in told["items"]] == ["a", "b"]
    assert [one["metadata"]["name"] for one in (await call("GET", CMS))["items"]] == ["c"]
    await call("DELETE", "/api/v1/configmaps", code=405)


async def test_paths_that_name_nothing(call: Caller) -> None:
    for path in ("/api/v1/nope", "/apis/nope/v1/x", "/nope", f"{NS}/nodes", "/api/v1/configmaps/a", f"{CMS}/a/nope"):
        assert (await call("GET", path, code=404))["message"] == "the server could not find the requested resource"
    assert (await call("PATCH", CMS, {}, code=405))["reason"] == "MethodNotAllowed"


async def test_other_versions_are_the_same_objects(call: Caller) -> None:
    new, old = (f"/apis/kubevirt.io/{version}/namespaces/default/virtualmachines" for version in ("v1", "v1alpha3"))
    body = {"metadata": {"name": "m"}, "spec": {"runStrategy": "Halted", "template": {"spec": {"domain": DOMAIN}}}}
    assert (await call("POST", old, {**body, "apiVersion": "kubevirt.io/v1alpha3"}))["apiVersion"] == "kubevirt.io/v1alpha3"
    assert (await call("GET", f"{new}/m"))["apiVersion"] == "kubevirt.io/v1"
    assert (await call("GET", old))["items"][0]["apiVersion"] == "kubevirt.io/v1alpha3"
    patched = await call.patch(f"{old}/m", {"metadata": {"labels": {"a": "b"}}})
    assert patched["apiVersion"] == "kubevirt.io/v1alpha3"


async def test_yaml_in_and_out(call: Caller) -> None:
    headers = {"content-type": "application/yaml", "accept": "application/yaml"}
    answer = await call.send("POST", CMS, b"metadata: {name: a1}\ndata: {a: '1'}\n", headers=headers)
    assert answer.status == 201 and answer.headers["content-type"] == "application/yaml"
    assert b"name: a1" in answer.body
    assert b"  name: a1" in (await call.send("GET", CMS, headers=headers)).body
