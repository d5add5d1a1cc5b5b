"""What an applied object shall become: the manifest laid over the live object, minus what the manifest had before.

The three-way rule of `kubectl apply`, told without schemas: fields of the manifest win, fields that were applied once
and are gone from the manifest go, all other fields (defaults, what controllers and people set) stay. Elements of a
list are told apart by their natural key where all of them carry one.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from vmpod.model.meta import Object, clone

_KEYS: Final = ("name", "mountPath", "containerPort", "port", "key", "ip", "type", "topologyKey")


def merged(live: Object, before: Object, wanted: Object) -> Object:
    """The live object after applying `wanted`, where `before` was applied last. No argument is changed."""
    result: Object = _merge(live, _written(before), _written(wanted))
    return result


def _written(obj: Object) -> Object:
    """A manifest as the server keeps it: `stringData` of a Secret is only another way to write `data`."""
    if obj.get("kind") != "Secret" or not isinstance(obj.get("stringData"), dict):
        return obj
    coded = {key: base64.b64encode(str(value).encode()).decode() for key, value in obj["stringData"].items()}
    plain = {key: value for key, value in obj.items() if key != "stringData"}
    return {**plain, "data": {**(obj.get("data") or {}), **coded}}


def _merge(live: Any, before: Any, wanted: Any) -> Any:
    if isinstance(wanted, dict) and isinstance(live, dict):
        return _merge_map(live, before if isinstance(before, dict) else {}, wanted)
    if isinstance(wanted, list) and isinstance(live, list):
        return _merge_list(live, before if isinstance(before, list) else [], wanted)
    return clone(wanted)


def _merge_map(live: Object, before: Object, wanted: Object) -> Object:
    result = {key: clone(value) for key, value in live.items() if key in wanted or key not in before}
    for key, value in wanted.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(live.get(key), before.get(key), value)
    return result


def _merge_list(live: list[Any], before: list[Any], wanted: list[Any]) -> list[Any]:
    key = _natural_key(live, before, wanted)
    if key:
        return _merge_keyed(_by_key(live, key), _by_key(before, key), _by_key(wanted, key))
    if len(live) == len(wanted) and all(isinstance(one, dict) for one in (*live, *wanted)):
        old = before if len(before) == len(wanted) else [None] * len(wanted)
        return [_merge(*three) for three in zip(live, old, wanted, strict=True)]
    return [clone(one) for one in wanted]


def _merge_keyed(live: dict[Any, Any], before: dict[Any, Any], wanted: dict[Any, Any]) -> list[Any]:
    mine = [_merge(live.get(key), before.get(key), one) for key, one in wanted.items()]
    theirs = [clone(one) for key, one in live.items() if key not in wanted and key not in before]
    if [key for key in live if key in wanted] == list(wanted) and theirs:  # nothing new: keep the live order
        at = dict(zip(wanted, mine, strict=True))
        return [at.get(key, clone(one)) for key, one in live.items() if key in wanted or key not in before]
    return mine + theirs


def _by_key(items: list[Any], key: str) -> dict[Any, Any]:
    return {one[key]: one for one in items}


def _natural_key(*lists: list[Any]) -> str:
    """The field by which the elements of all three lists are told apart, empty when there is none."""
    return next((key for key in _KEYS if any(lists) and all(_is_key(key, one) for one in lists)), "")


def _is_key(key: str, items: list[Any]) -> bool:
    found = [one.get(key) for one in items if isinstance(one, dict)]
    return (len(found) == len(items) and all(isinstance(one, (str, int)) for one in found)
            and len(set(found)) == len(found))  # fmt: skip
