"""YAML as kubectl reads and writes it (sigs.k8s.io/yaml): YAML 1.1 with Go's own ideas of a number.

`0644` is 420, `22:22` and timestamps stay text, `y` and `on` are true, `1e3` is the integer 1000, keys become
text, the last of two equal keys wins.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import yaml

from vmpod.base.errors import Problem
from vmpod.model.meta import Object

_TRUE: Final = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE: Final = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
_NULL: Final = re.compile(r"~|null|Null|NULL|")
_BOOL: Final = re.compile("|".join(sorted(_TRUE | _FALSE)))
_INT: Final = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]+|[1-9][0-9_]*|0)")
_FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_TIME: Final = re.compile(r"\d{4}-\d{1,2}-\d{1,2}(?:[Tt\s].*)?")
_BASE60: Final = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_MAX_NODES: Final = 2_000_000  # aliases may unfold a small file into billions of values


@dataclass(frozen=True)
class Document:
    """One object of a file and the line (from 1) on which it begins."""

    obj: Object
    line: int


class _Loader(yaml.CSafeLoader):
    """The C loader with kubectl's scalars."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


def _whole(pattern: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(rf"(?:{pattern.pattern})\Z")


_TAG: Final = "tag:yaml.org,2002:"
for _name, _pattern, _first in (
    ("bool", _BOOL, "yYnNtTfFoO"),
    ("null", _NULL, ["~", "n", "N", ""]),
    ("int", _INT, "-+0123456789"),
    ("float", _FLOAT, "-+0123456789."),
    ("merge", re.compile("<<"), "<"),
):
    _Loader.add_implicit_resolver(_TAG + _name, _whole(_pattern), list(_first))


def _read_bool(loader: _Loader, node: yaml.ScalarNode) -> bool:
    if node.value not in _TRUE | _FALSE:
        raise _misfit(node, "bool")
    return node.value in _TRUE


def _read_int(loader: _Loader, node: yaml.ScalarNode) -> int | float:
    text = node.value.replace("_", "")
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return int(re.sub(r"^([-+]?)0", r"\g<1>0o", text), 0)
    except ValueError:
        raise _misfit(node, "int") from None


def _read_float(loader: _Loader, node: yaml.ScalarNode) -> int | float | str:
    text = node.value.replace("_", "").lower()
    if text.lstrip("+-") in (".inf", ".nan"):
        raise _misfit(node, "JSON number")
    try:
        number = float(text)
    except ValueError:
        number = math.inf
    if math.isinf(number):  # what Go cannot read as a number is text, unless a tag asked for a number
        return _text_or_misfit(node, "float")
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


def _text_or_misfit(node: yaml.ScalarNode, wanted: str) -> str:
    if not (_FLOAT.fullmatch(node.value) or _INT.fullmatch(node.value)):
        raise _misfit(node, wanted)
    return str(node.value)


def _misfit(node: yaml.Node, wanted: str) -> yaml.constructor.ConstructorError:
    why = f"cannot decode `{getattr(node, 'value', '')}` as a {wanted}"
    return yaml.constructor.ConstructorError(None, None, why, node.start_mark)


def _read_text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


def _read_binary(loader: _Loader, node: yaml.ScalarNode) -> str:
    return loader.construct_yaml_binary(node).decode(errors="replace")


def _read_unknown(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    """A tag that means nothing here: the value counts as if it had none."""
    if isinstance(node, yaml.ScalarNode):
        return str(loader.construct_scalar(node))
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.MappingNode)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(_TAG + "bool", _read_bool)
_Loader.add_constructor(_TAG + "int", _read_int)
_Loader.add_constructor(_TAG + "float", _read_float)
_Loader.add_constructor(_TAG + "timestamp", _read_text)
_Loader.add_constructor(_TAG + "value", _read_text)
_Loader.add_constructor(_TAG + "binary", _read_binary)
for _name in ("set", "omap", "pairs"):
    _Loader.yaml_constructors.pop(_TAG + _name, None)
_Loader.add_multi_constructor("", _read_unknown)


def load_all(text: str, source: str = "") -> list[Document]:
    """The objects of a YAML or JSON stream; empty documents are left out.

    `source` names the file in errors. Raises Problem with the line for wrong syntax, and for a document that
    is no object.
    """
    found = _load_json(text) if text.lstrip()[:1] == "{" else None
    values = found if found is not None else _load_yaml(text, source)
    for value, line in values:
        if not isinstance(value, dict):
            raise _unreadable(source, line, f"an object is expected, not {json.dumps(value)[:60]}")
    return [Document(value, line) for value, line in values]


def load(text: str, source: str = "") -> Object:
    """The first object of a stream, {} when there is none. Raises Problem as `load_all`."""
    documents = load_all(text, source)
    return documents[0].obj if documents else {}


def _unreadable(source: str, line: int, why: str) -> Problem:
    where = f"{source}, line {line}" if source else f"line {line}"
    return Problem(f"read {source or 'the manifest'}", f"{where}: {why}", reason="Unreadable")


def _load_json(text: str) -> list[tuple[Any, int]] | None:
    """The values of a JSON stream, None when it is not JSON (but perhaps YAML's flow style)."""
    decoder = json.JSONDecoder()
    values: list[tuple[Any, int]] = []
    at = len(text) - len(text.lstrip())
    while at < len(text):
        try:
            value, end = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            return None
        values.append((value, text.count("\n", 0, at) + 1))
        at = end + len(text[end:]) - len(text[end:].lstrip())
    return values


def _load_yaml(text: str, source: str) -> list[tuple[Any, int]]:
    values: list[tuple[Any, int]] = []
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            assert node is not None
            line = node.start_mark.line + 1
            value = _Cleaner(node).clean(loader.construct_document(node))
            if value is not None:
                values.append((value, line))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = " ".join(part for part in (error.context, error.problem) if part)
        raise _unreadable(source, mark.line + 1 if mark else 1, why) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _unreadable(source, 1, str(error).splitlines()[0]) from None
    return values


class _Cleaner:
    """Makes JSON of what the loader built: text keys, and no value shared through an alias."""

    def __init__(self, node: yaml.Node) -> None:
        self._node = node
        self._left = _MAX_NODES

    def clean(self, value: Any) -> Any:
        """A copy of the value. Raises a YAML error for null keys and for too much unfolding."""
        self._left -= 1
        if self._left < 0:
            raise self._error("document contains excessive aliasing")
        if isinstance(value, dict):
            return {self._key(key): self.clean(item) for key, item in value.items()}
        return [self.clean(item) for item in value] if isinstance(value, list) else value

    def _key(self, key: Any) -> str:
        if isinstance(key, bool):
            return "true" if key else "false"
        if isinstance(key, (str, int, float)):
            return str(key)
        raise self._error(f"unsupported map key {key!r}")

    def _error(self, why: str) -> yaml.YAMLError:
        return yaml.constructor.ConstructorError(None, None, why, self._node.start_mark)


class _Dumper(yaml.CSafeDumper):
    """The C dumper with kubectl's quoting and order of keys."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _is_ambiguous(text: str) -> bool:
    """Whether plain text would be read as something else, by YAML 1.1 readers too."""
    shapes = (_BOOL, _NULL, _INT, _FLOAT, _TIME, _BASE60)
    return text == "<<" or any(shape.fullmatch(text) for shape in shapes)


def _write_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else '"' if _is_ambiguous(text) else None
    return dumper.represent_scalar(_TAG + "str", text, style=style)


def _write_map(dumper: _Dumper, value: dict[str, Any]) -> yaml.MappingNode:
    pairs: Any = sorted(value.items(), key=lambda pair: _natural(pair[0]))
    return dumper.represent_mapping(_TAG + "map", pairs)


def _natural(key: str) -> list[tuple[int, int, int, str]]:
    """Sorts as go-yaml does: numbers inside of keys by value, letters after everything else."""
    return [
        (1, 0, 0, part) if part.isalpha() else (0, int(part) if part.isdecimal() else 0, len(part), part)
        for part in re.findall(r"\d+|.", key, re.DOTALL)
    ]


_Dumper.add_representer(str, _write_text)
_Dumper.add_representer(dict, _write_map)


def dump(obj: Any) -> str:
    """The object as `kubectl get -o yaml` prints it: keys sorted, lists not indented."""
    return str(yaml.dump(obj, Dumper=_Dumper, default_flow_style=False, allow_unicode=True))


def dump_all(objects: Iterable[Any]) -> str:
    """Several objects as one stream."""
    return "---\n".join(dump(obj) for obj in objects)
