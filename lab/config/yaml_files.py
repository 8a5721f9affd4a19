"""YAML as its specification has it: a key stands once. PyYAML takes the last of two, which is silently another job."""

from __future__ import annotations

from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor):
        node, lines = super().compose_mapping_node(anchor), {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and (first := lines.setdefault((key.tag, key.value), line)) != line:
                raise yaml.YAMLError(f"the key {key.value!r} stands on line {first} and again on line {line}")
        return node


def load_yaml(text: str) -> Any:
    """The plain values in `text`. Raises yaml.YAMLError, also for a key that stands twice and for too deep nesting;
    ValueError for a date that does not exist."""
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
