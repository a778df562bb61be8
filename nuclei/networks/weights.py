"""Load the weights of a network, with a clear message if they do not fit."""

import warnings
from pathlib import Path

from ..errors import InputError


def load_weights(model, path, cure):
    """Load the weights of a network.

    Parameters
    ----------
    model : keras.Model
        A model of the architecture that was saved; compiled if the file contains the state of an
        optimizer.
    path : str or Path
        A `.weights.h5` file of Keras, or an `.h5` file of `keras.applications`.
    cure : str
        End of the error message: what the user can do.

    Raises
    ------
    InputError
        If the file is missing, damaged, not HDF5, or belongs to another architecture.
    """
    if not Path(path).is_file():
        raise InputError(f"{path} is missing: {cure}")
    try:
        with warnings.catch_warnings(action="ignore"):  # Keras warns for each layer, then raises
            model.load_weights(path)
    except (OSError, RuntimeError) as error:  # RuntimeError comes from damaged files
        raise InputError(f"{path} is cut short, damaged or not HDF5: {cure}") from error
    except (ValueError, KeyError) as error:
        raise InputError(f"{path} does not fit this {model.name}: {cure}") from error
