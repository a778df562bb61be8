"""Errors that the user can fix, parts of their sentences, and how a script says them."""

import sys


class InputError(ValueError):
    """A problem that the user can fix: the message is one sentence with the file and the cure."""


class SlideError(InputError):
    """A slide, or a part of one, cannot be read, or results of it or another run are in the way.

    Other slides and other parts still can be read.
    """


def run_script(main):
    """Run a script and end the process: with a sentence, and no traceback, where one is enough.

    Parameters
    ----------
    main : callable
        Takes nothing; returns the exit code, or None for 0.
    """
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)


LONGEST = 200
"""Characters of the message of another library that are repeated; some quote the file."""


def reason(error):
    """The message of an error of another library as a part of a sentence.

    Parameters
    ----------
    error : Exception

    Returns
    -------
    str
        Without full stops, and not longer than `LONGEST`; the kind of the error if it says nothing.
    """
    text = " ".join(str(error).split()).rstrip(".").replace(". ", "; ") or type(error).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip('.')} ..."


def first_sentence(error):
    """As `reason`, of an error whose message begins with the cause and goes on at length."""
    text = str(error).partition("\n")[0].partition(". ")[0]
    return text.rstrip(".") or type(error).__name__


def counted(number, noun, plural=None):
    """A number with its noun, as in "1 patch" and "2,000 patches"; by default the plural adds s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
