"""What becomes of each file of a command: a summary for people and a report for scripts."""

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from ..atomic import write_json

DONE, SKIPPED = "done", "skipped"
INCOMPLETE, REFUSED, NOT_REACHED = "incomplete", "refused", "not reached"
STATES = (DONE, SKIPPED, INCOMPLETE, REFUSED, NOT_REACHED)


@dataclass
class Outcome:
    """What became of one file.

    Attributes
    ----------
    path : str
        The file, as the command names it.
    state : str
        One of `STATES`: skipped if its results were there, incomplete if parts of a slide could not
        be read, not reached if the command ended before.
    reason : str or None
        Why it is incomplete or refused.
    seconds : float
        How long it took.
    outputs : list of str
        Paths of its results.
    """

    path: str
    state: str = NOT_REACHED
    reason: str | None = None
    seconds: float = 0.0
    outputs: list = field(default_factory=list)

    def end(self, state, outputs=(), reason=None):
        """Say how it ended."""
        self.state, self.outputs, self.reason = state, list(map(str, outputs)), reason


class Batch:
    """The files of one command.

    Parameters
    ----------
    paths : sequence of Path

    Attributes
    ----------
    outcomes : dict of Path to Outcome
    """

    def __init__(self, paths):
        self.outcomes = {path: Outcome(str(path)) for path in paths}
        self._started = time.perf_counter()

    @contextmanager
    def timed(self, path):
        """Time the work on a file in a `with` block; yield its `Outcome`."""
        started = time.perf_counter()
        try:
            yield self.outcomes[path]
        finally:
            self.outcomes[path].seconds = round(time.perf_counter() - started, 3)

    def count(self, state, paths=None):
        """Count the files in a state, of all files or of some."""
        chosen = self.outcomes.values() if paths is None else map(self.outcomes.get, paths)
        return sum(one.state == state for one in chosen)

    def summary(self):
        """Return one line, and one more for each file that is refused or incomplete."""
        counts = Counter(one.state for one in self.outcomes.values())
        said = ", ".join(f"{counts[state]:,} {state}" for state in STATES if counts[state])
        seconds = time.perf_counter() - self._started
        lines = [f"{len(self.outcomes):,} files in {seconds:.1f} s: {said}."]
        for one in self.outcomes.values():
            if one.state in (INCOMPLETE, REFUSED):
                lines.append(f"{one.state.capitalize()}: {one.reason}")
        return "\n".join(lines)

    def write(self, path):
        """Write the report, a JSON list with an object for each file; an InputError if it fails."""
        write_json(path, [asdict(one) for one in self.outcomes.values()])
