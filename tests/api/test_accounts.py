"""Tokens of service accounts: what they say, whom they let in, when they end; and what an account may do."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.api import accounts, jwt, rights
from vmpod.api.accounts import ISSUER
from vmpod.api.rights import Deed
from vmpod.client.inprocess import ANONYMOUS, Request, User
from vmpod.kinds.parts.api_access import MOUNT_PATH

if TYPE_CHECKING:
    from tests.api.conftest import Caller

NS = "/api/v1/namespaces/default"
ACCOUNTS, PODS = f"{NS}/serviceaccounts", f"{NS}/pods"
ROBOT = "system:serviceaccount:default:robot"
SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
CAN = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
REVIEW = "/apis/authentication.k8s.io/v1/tokenreviews"
BOUND = User(ROBOT, (accounts.GROUP, "system:authenticated"))
POD = {"metadata": {"name": "p"}, "spec": {"serviceAccountName": "robot", "containers": [{"name": "c", "image": "i"}]}}


@pytest.fixture
async def robot(call: Caller) -> dict[str, Any]:
    """A service account."""
    made: dict[str, Any] = await call("POST", ACCOUNTS, {"metadata": {"name": "robot"}})
    return made


async def token_of(call: Caller, **spec: Any) -> str:
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return str((await call("POST", f"{ACCOUNTS}/robot/token", asked, code=201))["status"]["token"])


async def ask(call: Caller, token: str, method: str, path: str, code: int, body: Any = None) -> Any:
    """The answer to whoever shows this token and no certificate."""
    admin, call.user = call.user, ANONYMOUS
    try:
        return await call(method, path, body, code=code, headers={"authorization": f"Bearer {token}"})
    finally:
        call.user = admin


def claims_of(token: str) -> dict[str, Any]:
    middle = token.split(".")[1]
    found: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return found


@pytest.mark.usefixtures("robot")
async def test_it_names_its_account_and_pod(call: Caller) -> None:
    pod = await call("POST", PODS, POD)
    token = await token_of(call, boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "p"}, expirationSeconds=3607)
    claims = claims_of(token)
    assert (claims["iss"], claims["aud"], claims["sub"]) == (ISSUER, [ISSUER], ROBOT)
    assert claims["exp"] - claims["iat"] == 365 * 24 * 3600, "the volume of every pod is read once by old clients"
    assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607
    assert claims["kubernetes.io"]["pod"] == {"name": "p", "uid": pod["metadata"]["uid"]}
    who = (await ask(call, token, "POST", SELF, 201, {}))["status"]["userInfo"]
    assert who["username"] == ROBOT
    assert who["groups"] == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    assert who["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]


@pytest.mark.usefixtures("robot")
@pytest.mark.parametrize(("method", "path", "told"), [
    ("GET", PODS, f'pods is forbidden: User "{ROBOT}" cannot list resource "pods" in API group "" in the namespace "default"'),
    ("GET", "/api/v1/nodes/n", f'nodes "n" is forbidden: User "{ROBOT}" cannot get resource "nodes" in API group "" at the cluster scope'),
    ("DELETE", "/apis/apps/v1/namespaces/x/deployments/d",
     f'deployments.apps "d" is forbidden: User "{ROBOT}" cannot delete resource "deployments" in API group "apps" in the namespace "x"'),
    ("GET", f"{PODS}/p/log", f'pods/log "p" is forbidden: User "{ROBOT}" cannot get resource "pods/log" in API group "" in the namespace "default"'),
    ("POST", REVIEW, f'tokenreviews.authentication.k8s.io is forbidden: User "{ROBOT}" cannot create resource "tokenreviews" in API group '
     '"authentication.k8s.io" at the cluster scope'),
    ("GET", "/metrics", f'forbidden: User "{ROBOT}" cannot get path "/metrics"'),
])
async def test_an_account_may_nothing_but_look_around(call: Caller, method: str, path: str, told: str) -> None:
    assert (await ask(call, await token_of(call), method, path, 403))["message"] == told


@pytest.mark.usefixtures("robot")
async def test_an_account_learns_what_is_served_and_what_it_may(call: Caller) -> None:
    token = await token_of(call)
    for path in ("/api", "/apis", "/api/v1", "/apis/apps/v1", "/version", "/openapi/v3"):
        await ask(call, token, "GET", path, 200)
    for verb, allowed in (("create", True), ("list", False)):
        wish = {"spec": {"resourceAttributes": {"verb": verb, "group": "authentication.k8s.io", "resource": "selfsubjectreviews"}}}
        assert (await ask(call, token, "POST", CAN, 201, wish))["status"] == {"allowed": allowed}
    wish = {"spec": {"nonResourceAttributes": {"verb": "get", "path": "/version"}}}
    assert (await ask(call, token, "POST", CAN, 201, wish))["status"]["allowed"]
    told = (await ask(call, token, "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", 201, {}))["status"]
    assert all(rule["verbs"] == ["create"] for rule in told["resourceRules"])


@pytest.mark.usefixtures("robot")
async def test_it_ends_with_its_pod_and_with_its_account(call: Caller) -> None:
    pod = await call("POST", PODS, POD)
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p"}
    wrong = await call("POST", f"{ACCOUNTS}/robot/token", {"spec": {"boundObjectRef": {**reference, "uid": "x"}}}, code=409)
    assert "does not match the UID in record" in wrong["message"]
    bound, free = await token_of(call, boundObjectRef=reference), await token_of(call)
    await call("DELETE", f"{PODS}/p", gracePeriodSeconds="0")
    assert pod["metadata"]["uid"] == claims_of(bound)["kubernetes.io"]["pod"]["uid"]
    await ask(call, bound, "GET", "/version", 401)
    await ask(call, free, "GET", "/version", 200)
    await call("DELETE", f"{ACCOUNTS}/robot")
    await call("POST", ACCOUNTS, {"metadata": {"name": "robot"}})
    await ask(call, free, "GET", "/version", 401)


@pytest.mark.usefixtures("robot")
async def test_others_ask_whose_a_token_is(call: Caller) -> None:
    token = await token_of(call, audiences=["vault", "bank"])
    await ask(call, token, "GET", "/version", 401)
    told = (await call("POST", REVIEW, {"spec": {"token": token, "audiences": ["bank", "shop"]}}, code=201))["status"]
    assert (told["authenticated"], told["audiences"], told["user"]["username"]) == (True, ["bank"], ROBOT)
    for spec in ({"token": token}, {"token": token, "audiences": ["shop"]}, {"token": "a.b.c"}):
        told = (await call("POST", REVIEW, {"spec": spec}, code=201))["status"]
        assert "authenticated" not in told and told["error"]
    await call("POST", REVIEW, {"spec": {}}, code=400)


@pytest.mark.usefixtures("robot")
@pytest.mark.parametrize(("spec", "code", "told"), [
    ({"expirationSeconds": 599}, 422, "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"),
    ({"expirationSeconds": (1 << 32) + 1}, 422, "may not specify a duration larger than 2^32 seconds"),
    ({"boundObjectRef": {"kind": "Deployment", "apiVersion": "apps/v1", "name": "d"}}, 400,
     "cannot bind token to object of type apps/v1, Kind=Deployment"),
    ({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "no"}}, 404, 'pods "no" not found'),
])
async def test_wrong_requests_are_refused(call: Caller, spec: dict[str, Any], code: int, told: str) -> None:
    assert told in (await call("POST", f"{ACCOUNTS}/robot/token", {"spec": spec}, code=code))["message"]


async def test_another_accounts_pod_binds_nothing(call: Caller, robot: dict[str, Any]) -> None:
    await call("POST", ACCOUNTS, {"metadata": {"name": "other"}})
    await call("POST", PODS, {**POD, "spec": {**POD["spec"], "serviceAccountName": "other"}})  # type: ignore[dict-item]
    asked = {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}}}
    told = await call("POST", f"{ACCOUNTS}/{robot['metadata']['name']}/token", asked, code=400)
    assert told["message"] == 'cannot bind token for serviceaccount "robot" to pod running with different serviceaccount name.'


@pytest.mark.usefixtures("robot")
async def test_its_time_is_over_after_its_end(call: Caller) -> None:
    token = await token_of(call, expirationSeconds=600)
    for after_s, known in ((0, True), (590, True), (600, False), (-5, False)):
        late = datetime.now(UTC) + timedelta(seconds=after_s)
        backend = replace(call.api.backend, now=partial(datetime.fromtimestamp, late.timestamp(), UTC))
        assert (accounts.user_of(backend, token, (ISSUER,)) is not None) == known, after_s


@given(st.text(max_size=80))
def test_noise_is_no_token(noise: str) -> None:
    assert jwt.read(b"key", noise) is None


@given(st.sampled_from(("GET", "POST", "PUT", "PATCH", "DELETE")), st.lists(st.text("abc/*", min_size=1, max_size=4), max_size=6))
def test_no_path_gives_an_account_more(method: str, parts: list[str]) -> None:
    """Whatever is asked below a group, only the reviews of oneself are answered."""
    deed = rights.deed_of(Request(method, "/apis/apps/v1/" + "/".join(("x", *parts))))
    assert deed.resource and not rights.may(BOUND, deed)
    assert rights.may(User("admin"), deed)


@pytest.mark.parametrize(("method", "path", "query", "deed"), [
    ("GET", "/api/v1/pods", {"watch": "1"}, Deed("watch", "", "", "pods")),
    ("GET", "/api/v1/namespaces/n", {}, Deed("get", "", "", "namespaces", "", "n", "n")),
    ("PUT", "/api/v1/namespaces/n/finalize", {}, Deed("update", "", "", "namespaces", "finalize", "n", "n")),
    ("DELETE", "/api/v1/namespaces/n/pods", {}, Deed("deletecollection", "", "", "pods", "", "n", "")),
    ("GET", "/apis/apps/v1", {}, Deed("get", "/apis/apps/v1")),
    ("POST", "/", {}, Deed("create", "/")),
])
def test_what_a_request_wants(method: str, path: str, query: dict[str, str], deed: Deed) -> None:
    assert rights.deed_of(Request(method, path, query)) == deed


def mounts_of(pod: dict[str, Any]) -> list[list[str]]:
    """The mount paths of each container."""
    everyone = (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"])
    return [[mount["mountPath"] for mount in one.get("volumeMounts", ())] for one in everyone]


@pytest.mark.usefixtures("robot")
async def test_pods_get_the_volume_of_their_account(call: Caller) -> None:
    own = {"name": "c", "image": "i", "volumeMounts": [{"name": "mine", "mountPath": MOUNT_PATH}]}
    spec = {**POD["spec"], "volumes": [{"name": "mine", "emptyDir": {}}], "initContainers": [{"name": "first", "image": "i"}],  # type: ignore[dict-item]
            "containers": [own, {"name": "d", "image": "i"}]}  # fmt: skip
    made = await call("POST", PODS, {"metadata": {"name": "p"}, "spec": spec})
    assert mounts_of(made) == [[MOUNT_PATH]] * 3
    mine, given = made["spec"]["volumes"]
    assert given["name"].startswith("kube-api-access-") and [next(iter(one)) for one in given["projected"]["sources"]] == [
        "serviceAccountToken", "configMap", "downwardAPI"]
    assert [one["volumeMounts"][0]["name"] for one in made["spec"]["containers"]] == [mine["name"], given["name"]]


@pytest.mark.parametrize(("pod_says", "account_says", "mounted"), [
    (None, None, True), (None, False, False), (False, None, False), (True, False, True), (False, True, False),
])
async def test_who_says_whether_it_is_mounted(call: Caller, pod_says: bool | None, account_says: bool | None, mounted: bool) -> None:
    await call("POST", ACCOUNTS, {"metadata": {"name": "robot"}, "automountServiceAccountToken": account_says})
    spec = {**POD["spec"], "automountServiceAccountToken": pod_says}  # type: ignore[dict-item]
    made = await call("POST", PODS, {"metadata": {"name": "p"}, "spec": spec})
    assert mounts_of(made) == [[MOUNT_PATH] if mounted else []]


async def test_a_pod_of_an_account_that_is_not_there_is_refused(call: Caller) -> None:
    told = await call("POST", PODS, POD, code=403)
    assert told["message"] == ('pods "p" is forbidden: error looking up service account default/robot: '
                               'serviceaccount "robot" not found')
