"""Import TensorFlow without what it tells the terminal."""

import os
import sys
from contextlib import contextmanager


@contextmanager
def without_greetings():
    """Silence what is logged during an import, unless TF_CPP_MIN_LOG_LEVEL is set.

    Setting that alone does not help: https://github.com/tensorflow/tensorflow/issues/100442.
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
