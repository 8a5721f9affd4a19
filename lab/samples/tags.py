"""Tags and notes of questions and answers, in a JSON file of their own: records are never changed.

``{question id: {"tags": [...], "note": "...", "answers": {"run/step/arm": {"tags": [...], "blind": bool}}}}``
"""

import json
from pathlib import Path

from lab.errors import LabError
from lab.runs import write_text

CHOICES = ("success", "failure", "enrichment")  # those with a key of their own; any other word may be a tag


class Tags:
    """The side file at `path`, or only in memory with None. Each change reads it again first, so that two open
    notebooks do not undo each other's work. Raises LabError for a file that is not of this kind."""

    def __init__(self, path: str | Path | None = None):
        self.path = None if path is None else Path(path)
        self._entries: dict[str, dict] = {}
        self._read()

    def _read(self) -> None:
        if self.path is None or not self.path.exists():
            return
        try:
            entries = json.loads(self.path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise LabError(f"{self.path}: cannot be read as tags ({error}); move the file away.") from error
        if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
            raise LabError(f"{self.path}: holds no tags (an object of objects); move the file away.")
        self._entries = entries

    def _write(self) -> None:
        self._entries = {key: entry for key, entry in self._entries.items() if any(entry.values())}
        if self.path is not None:
            write_text(self.path, json.dumps(self._entries, indent=1, sort_keys=True) + "\n")

    def of(self, key: str) -> list[str]:
        return list(self._entries.get(key, {}).get("tags", []))

    def note_of(self, key: str) -> str:
        return str(self._entries.get(key, {}).get("note", ""))

    def of_answer(self, key: str, answer: str) -> list[str]:
        return list(self._entries.get(key, {}).get("answers", {}).get(answer, {}).get("tags", []))

    def tagged(self) -> dict[str, list[str]]:
        """Questions with tags, in the order of their ids."""
        return {key: list(entry["tags"]) for key, entry in sorted(self._entries.items()) if entry.get("tags")}

    def toggle(self, key: str, tag: str) -> None:
        """Give the question a tag, or take it away."""
        tag = tag.strip()
        if not tag:
            return
        self._read()
        _toggle(self._entries.setdefault(key, {}).setdefault("tags", []), tag)
        self._write()

    def toggle_answer(self, key: str, answer: str, tag: str, blind: bool) -> None:
        """Tag one answer ("run/step/arm"). `blind`: the arm's name was hidden from whoever tagged."""
        tag = tag.strip()
        if not tag:
            return
        self._read()
        answers = self._entries.setdefault(key, {}).setdefault("answers", {})
        entry = answers.setdefault(answer, {"tags": []})
        _toggle(entry["tags"], tag)
        entry["blind"] = blind
        if not entry["tags"]:
            del answers[answer]
        self._write()

    def note(self, key: str, text: str) -> None:
        self._read()
        self._entries.setdefault(key, {})["note"] = text.strip()
        self._write()


def _toggle(tags: list[str], tag: str) -> None:
    tags.remove(tag) if tag in tags else tags.append(tag)
