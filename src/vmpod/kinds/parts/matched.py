"""Which instance type and preference a VirtualMachine means: the object that it names, or the revision kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vmpod.kinds.parts.matchers import GROUP, INSTANCETYPE, MATCHERS, PREFERENCE, VERSION, Matcher
from vmpod.kinds.parts.reading import dig, mapping, text
from vmpod.model.meta import Object, namespace

# Reads an object: (group, version, plural), namespace, name.
Get = Callable[[tuple[str, str, str], str, str], Object | None]
REVISIONS = ("apps", "v1", "controllerrevisions")


@dataclass(frozen=True)
class Match:
    """What one matcher of a machine leads to. `revision` names the ControllerRevision that `source` came from, empty
    when it is the object itself; `problem` says why there is no source."""

    matcher: Matcher
    wanted: Object
    source: Object | None = None
    revision: str = ""
    problem: str = ""

    @property
    def spec(self) -> Object:
        return dig(self.source, "spec")


def matches(vm: Object, get: Get) -> tuple[Match, ...]:
    """What a machine's matchers lead to."""
    return tuple(_match(vm, matcher, get) for matcher in MATCHERS if mapping(dig(vm, "spec").get(matcher.field)))


def instancetype_of(found: tuple[Match, ...]) -> Object | None:
    """The spec of the instance type among the matches."""
    return next(_specs(found, INSTANCETYPE), None)


def preference_of(found: tuple[Match, ...]) -> Object | None:
    """The spec of the preference among the matches."""
    return next(_specs(found, PREFERENCE), None)


def _specs(found: tuple[Match, ...], matcher: Matcher) -> Iterator[Object]:
    return (one.spec for one in found if one.matcher is matcher and one.source is not None)


def _match(vm: Object, matcher: Matcher, get: Get) -> Match:
    wanted, space = dig(vm, "spec", matcher.field), namespace(vm)
    name, plural = text(wanted, "name"), matcher.plural(text(wanted, "kind"))
    if revision := _revision(vm, matcher, wanted):
        kept = get(REVISIONS, space, revision)
        source = None if kept is None else mapping(kept.get("data"))
        problem = "" if source else f'controllerrevisions.apps "{revision}" not found'
        return Match(matcher, wanted, source, revision, problem)
    if plural is None:
        return Match(matcher, wanted, problem=f"got unexpected kind in {matcher.title}: {text(wanted, 'kind')}")
    source = get((GROUP, VERSION, plural), "" if "cluster" in plural else space, name) if name else None
    return Match(matcher, wanted, source, "", "" if source else f'{plural}.{GROUP} "{name}" not found')


def _revision(vm: Object, matcher: Matcher, wanted: Object) -> str:
    """The revision that the machine asks for, or was first started with and still means."""
    if asked := text(wanted, "revisionName"):
        return asked
    held = dig(vm, "status", matcher.status)
    is_same = text(held, "name") == text(wanted, "name")
    is_same = is_same and matcher.plural(text(held, "kind")) == matcher.plural(text(wanted, "kind"))
    return text(dig(held, "controllerRevisionRef"), "name") if is_same else ""
