"""Selectors of labels and of fields, parsed and matched as k8s.io/apimachinery/pkg/{labels,fields} do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vmpod.model import names
from vmpod.model.status import bad_request, quote

_TOKEN: Final = re.compile(r"\s*(==|!=|=|!|<|>|\(|\)|,|[^\s=!<>(),]+)")
_SYMBOLS: Final = frozenset({"==", "!=", "=", "!", "<", ">", "(", ")", ","})


@dataclass(frozen=True)
class Requirement:
    """One term. `operator` is In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a set of labels meets the term; NotIn is met by labels without the key."""
        present = self.key in labels
        match self.operator:
            case "In":
                return present and labels[self.key] in self.values
            case "NotIn":
                return not present or labels[self.key] not in self.values
            case "Exists":
                return present
            case "DoesNotExist":
                return not present
            case _:
                return present and self._compares(labels[self.key])

    def _compares(self, text: str) -> bool:
        try:
            left, right = int(text), int(self.values[0])
        except ValueError:
            return False
        return left > right if self.operator == "Gt" else left < right

    def __str__(self) -> str:
        values = ",".join(sorted(self.values))
        match self.operator:
            case "In" if len(self.values) == 1:
                return f"{self.key}={values}"
            case "NotIn" if len(self.values) == 1:
                return f"{self.key}!={values}"
            case "In" | "NotIn":
                return f"{self.key} {self.operator.lower()} ({values})"
            case "Exists":
                return self.key
            case "DoesNotExist":
                return f"!{self.key}"
            case _:
                return f"{self.key}{'>' if self.operator == 'Gt' else '<'}{values}"


@dataclass(frozen=True)
class Selector:
    """All requirements must be met. `matches_nothing` is the selector made from a missing LabelSelector."""

    requirements: tuple[Requirement, ...] = ()
    matches_nothing: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing, so that everything matches."""
        return not self.requirements and not self.matches_nothing

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return not self.matches_nothing and all(term.matches(labels) for term in self.requirements)

    def __str__(self) -> str:
        return ",".join(str(term) for term in self.requirements)


EVERYTHING: Final = Selector()
NOTHING: Final = Selector(matches_nothing=True)


def from_map(labels: Mapping[str, str] | None) -> Selector:
    """The selector of exactly these labels, as in Service.spec.selector."""
    return Selector(tuple(Requirement(key, "In", (value,)) for key, value in sorted((labels or {}).items())))


def from_object(label_selector: Mapping[str, Any] | None) -> Selector:
    """The selector of a metav1.LabelSelector: None selects nothing, {} everything.

    Raises ApiError 400 for an operator that does not exist.
    """
    if label_selector is None:
        return NOTHING
    terms = list(from_map(label_selector.get("matchLabels")).requirements)
    for wish in label_selector.get("matchExpressions") or []:
        operator = wish.get("operator", "")
        if operator not in {"In", "NotIn", "Exists", "DoesNotExist"}:
            raise bad_request(f"{quote(str(operator))} is not a valid label selector operator")
        terms.append(Requirement(wish.get("key", ""), operator, tuple(sorted(set(wish.get("values") or ())))))
    return Selector(tuple(terms))


def parse_labels(text: str) -> Selector:
    """A selector from `labelSelector` of a query: `a=b,c!=d,e in (f,g),h,!i,j>1`.

    Raises ApiError 400 for wrong syntax.
    """
    return _Parser(text).parse() if text.strip() else EVERYTHING


class _Parser:
    """Reads the tokens of one selector from left to right."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._next = 0

    def parse(self) -> Selector:
        terms = []
        while True:
            terms.append(self._term())
            if self._peek() is None:
                break
            if (found := self._take()) != ",":
                raise bad_request(f"found '{found}', expected: ',' or 'end of string'")
            if self._peek() is None:
                raise bad_request("found '', expected: identifier after ','")
        return Selector(tuple(sorted(terms, key=lambda term: term.key)))

    def _peek(self) -> str | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self) -> str:
        token = self._peek()
        self._next += 1
        return token or ""

    def _term(self) -> Requirement:
        if self._peek() == "!":
            self._take()
            return Requirement(self._key(), "DoesNotExist")
        key = self._key()
        match self._peek():
            case None | ",":
                return Requirement(key, "Exists")
            case "=" | "==":
                self._take()
                return Requirement(key, "In", (self._value(),))
            case "!=":
                self._take()
                return Requirement(key, "NotIn", (self._value(),))
            case "in" | "notin":
                return Requirement(key, "In" if self._take() == "in" else "NotIn", self._values())
            case "<" | ">":
                return Requirement(key, "Gt" if self._take() == ">" else "Lt", (self._number(),))
            case other:
                raise _unreadable(other or "", "in, notin, =, ==, !=, gt, lt")

    def _key(self) -> str:
        key = self._take()
        if not key or key in _SYMBOLS:
            raise _unreadable(key, "!, identifier, or 'end of string'")
        if faults := names.label_key_faults(key):
            raise _invalid(f"key: Invalid value: {quote(key)}: {'; '.join(faults)}")
        return key

    def _value(self) -> str:
        token = self._peek()
        if token is None or token == ",":
            return ""
        if token in _SYMBOLS:
            raise _unreadable(token, "identifier")
        return self._checked(self._take())

    def _checked(self, value: str) -> str:
        if faults := names.label_value_faults(value):
            raise _invalid(f"values[0]: Invalid value: {quote(value)}: {'; '.join(faults)}")
        return value

    def _number(self) -> str:
        text = self._take()
        if not re.fullmatch(r"[-+]?\d+", text):
            why = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise _invalid(f"values[0]: Invalid value: {quote(text)}: {why}")
        return text

    def _values(self) -> tuple[str, ...]:
        if (opening := self._take()) != "(":
            raise _unreadable(opening, "'('")
        values: list[str] = []
        expects_value = True
        while (token := self._take()) != ")":
            if token == ",":
                values += [""] if expects_value else []
                expects_value = True
            elif not token or token in _SYMBOLS or not expects_value:
                raise _unreadable(token, "',', ')' or identifier")
            else:
                values.append(self._checked(token))
                expects_value = False
        return tuple(sorted({*values, ""} if expects_value else set(values)))


def _unreadable(found: str, expected: str) -> Exception:
    return _invalid(f"found '{found}', expected: {expected}")


def _invalid(why: str) -> Exception:
    return bad_request(f"unable to parse requirement: {why}")


@dataclass(frozen=True)
class FieldRequirement:
    """One term of a field selector; `equal` is False for `!=`."""

    field: str
    value: str
    equal: bool = True


@dataclass(frozen=True)
class FieldSelector:
    """All requirements must be met."""

    requirements: tuple[FieldRequirement, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing, so that everything matches."""
        return not self.requirements

    def matches(self, obj: Mapping[str, Any], fields: Mapping[str, str]) -> bool:
        """Whether the object is selected.

        `fields` are the values of the kind's selectable fields; metadata.name and metadata.namespace are
        read from the object itself when `fields` lacks them. Raises ApiError 400 for any other field.
        """
        return all(
            (_field(obj, fields, term.field) == term.value) is term.equal for term in self.requirements
        )

    def value_of(self, name: str) -> str | None:
        """The value that a field must equal, None when the selector leaves it open."""
        return next((term.value for term in self.requirements if term.equal and term.field == name), None)


def _field(obj: Mapping[str, Any], fields: Mapping[str, str], name: str) -> str:
    if name in fields:
        return fields[name]
    if name in ("metadata.name", "metadata.namespace"):
        return str((obj.get("metadata") or {}).get(name.removeprefix("metadata.")) or "")
    raise bad_request(f"field label not supported: {name}")


def parse_fields(text: str) -> FieldSelector:
    """A selector from `fieldSelector` of a query: `a=b,c!=d`, with `\\,` `\\=` `\\\\` escaped.

    Raises ApiError 400 for wrong syntax.
    """
    return FieldSelector(tuple(_field_term(term, text) for term in _split_terms(text) if term))


def _split_terms(text: str) -> Sequence[str]:
    return re.findall(r"(?:[^,\\]|\\.)+", text, re.DOTALL)


def _field_term(term: str, whole: str) -> FieldRequirement:
    found = re.fullmatch(r"((?:[^=!\\]|\\.|!(?!=))*?)(!=|==|=)(.*)", term, re.DOTALL)
    if found is None:
        raise bad_request(f"invalid selector: '{whole}'; can't understand '{term}'")
    name, operator, value = found.groups()
    return FieldRequirement(name, _unescape(value), operator != "!=")


def _unescape(value: str) -> str:
    for escape in re.findall(r"\\.?|=", value, re.DOTALL):
        if escape == "=":
            raise bad_request("invalid field selector: unescaped character in value: =")
        if escape not in ("\\\\", "\\,", "\\="):
            raise bad_request(f"invalid field selector: invalid escape sequence: {escape}")
    return re.sub(r"\\(.)", r"\1", value)
