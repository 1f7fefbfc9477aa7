"""What a listing leaves out, in words that cost the same however many files there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from recap.corpus.endings import REFUSED, ending, is_hidden, is_tar, is_video, may_be_video
from recap.corpus.wording import number_of, shown, some_of

_MOST = 256  # endings that are told apart: names like `clip.000017` would each bring one
_OTHERS = "others"


@dataclass
class Tally:
    """How many, and which was the first in order of name."""

    count: int = 0
    first: str = ""

    def add(self, what: str) -> None:
        """Count one more."""
        self.count += 1
        self.first = min(self.first or what, what)


@dataclass
class PassedOver:
    """Links that lead out, folders and tars that cannot be read, hidden videos, and files by their endings."""

    where: str
    links: Tally = field(default_factory=Tally)
    closed: Tally = field(default_factory=Tally)
    torn: Tally = field(default_factory=Tally)
    hidden: Tally = field(default_factory=Tally)
    _maybe: Counter[str] = field(default_factory=Counter)
    _beside: Counter[str] = field(default_factory=Counter)

    def takes(self, name: str, is_wanted: Callable[[str], bool], takes_hidden: bool = False) -> bool:
        """Whether a file is wanted and not hidden; else it is counted."""
        if is_hidden(name) and not takes_hidden:
            self.hidden_file(name)
        elif is_wanted(name):
            return True
        else:
            self.file(name)
        return False

    def file(self, name: str) -> None:
        """Count a file whose ending is no video's."""
        _count(name, self._maybe if may_be_video(name) else self._beside)

    def hidden_file(self, name: str) -> None:
        """Count a hidden file; macOS leaves one of its own, which holds no video, beside each that it copies."""
        if is_video(name) and not name.rpartition("/")[2].startswith("._"):
            self.hidden.add(name)
        else:
            _count(name, self._beside)

    def words(self) -> str:
        """What of it may have been meant as a clip; empty where nothing was."""
        return self._sentence(self._maybe)

    def all_words(self) -> str:
        """All of it: where no video was found, anything may have been meant."""
        return self._sentence(self._maybe + self._beside)

    def _sentence(self, endings: Counter[str]) -> str:
        said = "; ".join([*self._links(), *_files(endings), *self._hidden(), *self._closed(), *self._torn()])
        return said and f"passed over below {self.where}: {said}"

    def _links(self) -> Iterator[str]:
        if self.links.count:
            yield (
                f"{number_of(self.links.count, 'file or folder', 'files or folders')} behind links that lead out of it "
                f"(the first: {shown(self.links.first)}; set corpus.path to where they lead, or list the files in a "
                "manifest with corpus.root: /)"
            )

    def _hidden(self) -> Iterator[str]:
        if self.hidden.count:
            count = number_of(self.hidden.count, "hidden video", "hidden videos")
            yield f"{count} (the first: {shown(self.hidden.first)}; a corpus.pattern with such a dot takes them)"

    def _closed(self) -> Iterator[str]:
        if self.closed.count:
            count = number_of(self.closed.count, "folder", "folders")
            yield f"{count} that cannot be read, nor their clips be seen (the first: {shown(self.closed.first)})"

    def _torn(self) -> Iterator[str]:
        if self.torn.count:
            count = number_of(self.torn.count, "tar", "tars")
            yield f"{count} that cannot be read to the end, nor all their clips be seen (the first: {self.torn.first})"


def _count(name: str, counts: Counter[str]) -> None:
    kind = ending(name) or "no ending"
    counts[kind if kind in counts or len(counts) < _MOST else _OTHERS] += 1


def _files(endings: Counter[str]) -> Iterator[str]:
    if not endings:
        return
    most = sorted(endings.items(), key=lambda kind: (-kind[1], kind[0]))
    named = some_of(f"{shown(kind)} {count}" for kind, count in most)
    ways = "; ".join(_ways([kind for kind, _ in most]))
    count = number_of(sum(endings.values()), "file whose ending is", "files whose ending is")
    yield f"{count} not listed as a video's ({named}; {ways})"


def _ways(kinds: list[str]) -> Iterator[str]:
    """How files of some endings become clips."""
    if refused := [kind for kind in kinds if kind in REFUSED]:
        yield f"convert {some_of(refused)}, which no decoder here reads"
    if any(map(is_tar, kinds)):
        yield "corpus.kind: webdataset takes what is in tars"
    others = [kind for kind in kinds if kind not in REFUSED and not is_tar(kind)]
    if dotted := next((kind for kind in others if kind.startswith(".")), None):
        yield f"corpus.pattern: '**/*{shown(dotted)}' takes {shown(dotted)}"
    elif others:
        yield "list them in a manifest"
