"""Import Keras: which backend it has, what goes wrong with it, and what it need not say."""

import importlib.util
import json
import os
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError, first_sentence

BACKENDS = ("tensorflow", "jax", "torch")
"""Of Keras. Its others cannot train."""


@contextmanager
def silence_native_stderr():
    """Import Keras in the `with` block, and hide all that C++ libraries write to stderr in it.

    Nothing is hidden if TF_CPP_MIN_LOG_LEVEL is 0 or 1, which asks for messages and warnings. If it
    is 2 or 3, as in the processes that this one starts, TensorFlow writes some all the same:
    https://github.com/tensorflow/tensorflow/issues/100442.

    Raises
    ------
    InputError
        As in `explain_backend`.
    """
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "keras" in sys.modules or level in ("0", "1"):
        with explain_backend():
            yield
        return
    try:
        terminal = os.dup(2)
    except OSError:  # it is closed: there is nothing to hide
        with explain_backend():
            yield
        return
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        with explain_backend():
            yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


@contextmanager
def explain_backend():
    """Import Keras in the `with` block, and set it to what the networks need.

    Whatever `~/.keras/keras.json` says, channels are last, and numbers are float32 where nothing
    else is asked for. The file is not changed.

    Raises
    ------
    InputError
        If Keras cannot be imported, because its backend is not installed, cannot train, or because
        its settings are damaged.
    """
    name, source = _name_and_source()
    if name not in BACKENDS:
        need = f"but the networks need {', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}"
        raise InputError(f"{source} the Keras backend {name}, {need}: {_cure(name)}.")
    try:
        yield
    except InputError:
        raise
    except ImportError as error:
        if "keras" in sys.modules or error.name == "keras":  # then it is not about the backend
            raise
        raise InputError(
            f"{source} the Keras backend {name}, which cannot be imported "
            f"({first_sentence(error)}): install it, or {_cure(name)}."
        ) from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        place = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if place.parts[-4:] != ("keras", "src", "backend", "config.py"):
            raise
        raise InputError(
            f"Keras cannot read its settings {_settings()} ({first_sentence(error)}): correct or "
            "remove them."
        ) from error
    if keras := sys.modules.get("keras"):
        keras.config.set_image_data_format("channels_last")
        keras.config.set_floatx("float32")


def name():
    """Return the name of the backend that Keras has or will import."""
    return _name_and_source()[0]


def _name_and_source():
    """The name of the backend, and the beginning of a sentence on who says so."""
    if keras := sys.modules.get("keras"):
        return keras.config.backend(), "This process runs"
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "The environment variable KERAS_BACKEND names"
    try:
        name = json.loads(_settings().read_bytes())["backend"]
    except (OSError, ValueError, LookupError, TypeError):
        return "tensorflow", "Nothing is set, so Keras takes"
    return name, f"{_settings()} names"


def _settings():
    """The file of settings that Keras reads."""
    home = os.path.expanduser("~")
    folder = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME", folder)), "keras.json")


def _cure(name):
    others = [other for other in BACKENDS if other != name and importlib.util.find_spec(other)]
    return f"set KERAS_BACKEND={others[0] if others else 'tensorflow'}"
