"""Load and save the weights of a network, with a clear message if they do not fit.

Both go through memory. HDF5 would lock the file, which fails on file systems without locks, and
would report this, a full disk or a missing permission as damage. Keras knows the format by the end
of the name, in small letters.
"""

import warnings
from pathlib import Path

import numpy as np

from ..atomic import expand
from ..errors import InputError
from ..memory import NamedBytes
from ..modelfiles import hdf5, safe

SPARE = 2**24
"""Bytes that a file of weights may have beyond four numbers of 32 bits for each weight, which are
the weight itself and what an optimizer keeps of it."""


def load_weights(model, path, cure):
    """Load the weights of a network.

    Parameters
    ----------
    model : keras.Model
        A model of the architecture that was saved; compiled if the file contains the state of an
        optimizer.
    path : str or Path
        A `.weights.h5` file of Keras, or an `.h5` file of `keras.applications`, see
        `atomic.expand`.
    cure : str
        End of the error message: what the user can do.

    Raises
    ------
    InputError
        If the file is missing, cannot be read, has another suffix, is damaged or not HDF5, or
        belongs to another architecture, or has values that are NaN or infinite; or if it holds
        anything but weights of its own, see `hdf5.check`, or far more than the network takes.
    """
    path = expand(path)
    if path.suffix.lower() not in (".h5", ".hdf5"):
        raise InputError(f"{path} is no .weights.h5 or .h5 file: {cure}")
    try:
        most = SPARE + 16 * model.count_params()
        safe.check(path, most)
        file = NamedBytes(path.name.lower(), path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise InputError(f"{path} is missing: {cure}") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): check its permissions and its disk."
        ) from error
    try:
        hdf5.check(file, path, most)
        file.seek(0)
        with warnings.catch_warnings(action="ignore"):  # Keras warns for each layer, then raises
            model.load_weights(file)
    except InputError:
        raise
    except (ValueError, KeyError) as error:
        raise InputError(f"{path} does not fit this {model.name}: {cure}") from error
    except Exception as error:  # HDF5 and its wrapper raise many kinds for damaged files
        raise InputError(f"{path} is cut short, damaged or not HDF5: {cure}") from error
    # One such value would give empty masks without a word.
    if not all(np.isfinite(values).all() for values in model.get_weights()):
        raise InputError(f"{path} has weights that are NaN or infinite: {cure}")


def save_weights(model, path, epochs=None):
    """Save the weights of a network, and the state of its optimizer if it is compiled.

    Parameters
    ----------
    model : keras.Model
    path : str or Path
        A `.weights.h5` file.
    epochs : int, optional
        Number of epochs trained, for `read_epochs`. It lies in the same file, so that a run that is
        killed leaves both or neither.

    Raises
    ------
    OSError
        If the file cannot be written: `atomic.atomic_write` makes a sentence of it.
    """
    file = NamedBytes(Path(path).name.lower())
    model.save_weights(file)
    if epochs is not None:
        import h5py  # not at the top, because it is needed only with weights

        with h5py.File(file, "r+") as opened:
            opened.attrs["epochs"] = epochs
    Path(path).write_bytes(file.getbuffer())


def read_epochs(path):
    """Read the number of epochs that `save_weights` wrote.

    Parameters
    ----------
    path : Path
        A file that `load_weights` has read.

    Returns
    -------
    int or None
        None if the file does not say, as those of earlier releases.
    """
    import h5py

    with open(path, "rb") as file, h5py.File(file, "r") as opened:  # open(): without HDF5's lock
        epochs = opened.attrs.get("epochs")
    return None if epochs is None else int(epochs)
