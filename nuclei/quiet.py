"""Import TensorFlow without its log messages."""

import os
import sys
from contextlib import contextmanager


@contextmanager
def silence_native_stderr():
    """Hide all that C++ libraries write to stderr in the `with` block.

    Nothing is hidden if the user has set TF_CPP_MIN_LOG_LEVEL. Setting that variable alone is not
    enough: https://github.com/tensorflow/tensorflow/issues/100442.
    """
    if "keras" in sys.modules or "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    terminal = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
