"""The import of OpenVINO."""

import sys

from ...errors import InputError


def import_openvino():
    """Import OpenVINO, without the telemetry that its conversion sends unless one declines.

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
            "OpenVINO is not installed: run `pip install openvino`, or use --engine keras."
        ) from None
    return openvino
