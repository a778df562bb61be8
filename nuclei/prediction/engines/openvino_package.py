"""The import of OpenVINO."""

import sys

from ...errors import InputError


def import_openvino(instead="--engine keras"):
    """Import OpenVINO, without the telemetry that its conversion sends unless one declines.

    Parameters
    ----------
    instead : str
        The option that does without OpenVINO, for the error message.

    Returns
    -------
    module

    Raises
    ------
    InputError
        If it is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # OpenVINO then does without it
    try:
        import openvino
    except ImportError:
        raise InputError(
            f"OpenVINO is not installed: run `pip install openvino`, or use {instead}."
        ) from None
    return openvino
