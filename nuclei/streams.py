"""Standard output and error of a process that has files to write, whoever reads them."""

import io
import os
import sys

from .errors import InputError


def steady_streams():
    """Let standard output and error take whatever is written to them; for a process of its own.

    A run has files to write. So it goes on if a reader has left, as in `| head`, if a stream is
    closed, as in `2>&-`, and if a name in a message is no text in the encoding of the terminal.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number, which otherwise the next file would get, and what C++
            # libraries say with it.
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - open to the end
        elif type(raw := getattr(stream.buffer, "raw", stream.buffer)) is io.FileIO:
            stream.flush()
            steady = io.TextIOWrapper(
                io.BufferedWriter(_Steady(raw.fileno(), "w", closefd=False)),
                encoding=stream.encoding,
                errors="backslashreplace",
                line_buffering=stream.line_buffering or name == "stderr",
                write_through=stream.write_through,
            )
            setattr(sys, name, steady)
        else:  # a Windows console
            stream.reconfigure(errors="backslashreplace")


class _Steady(io.FileIO):
    """A stream that drops what nobody takes, and remembers why if that was no choice."""

    problem = None

    def write(self, data):
        try:
            return super().write(data)
        except BrokenPipeError:
            pass
        except OSError as error:
            self.problem = error
        return len(data)


def check_output():
    """Raise an InputError if standard output could not be written, such as to a full disk."""
    if sys.stdout is None:
        return
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if problem := getattr(raw, "problem", None):
        raise InputError(
            f"Standard output could not be written ({problem.strerror}): free some space or send "
            "it elsewhere."
        )
