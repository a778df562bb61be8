"""Serve `notebooks/try_it.ipynb` as a page: `make app`."""

import argparse
import importlib.util
import os
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
VARIABLE = "NUCLEI_SLIDES"
"""As `nuclei.app.fields.VARIABLE`, which is not imported to start sooner."""
IDLE = 600
"""Seconds after which the kernel of a visitor who has left ends, and with it all uploads."""


def command(port, token, ip="127.0.0.1"):
    """Write the command that starts the server.

    Parameters
    ----------
    port : int
    token : str
        Who opens the page must give it.
    ip : str
        Where the server listens.

    Returns
    -------
    list of str
    """
    return [
        *(sys.executable, "-m", "voila", str(ROOT / "notebooks" / "try_it.ipynb")),
        *("--no-browser", f"--Voila.ip={ip}", f"--port={port}", f"--token={token}"),
        "--template=nuclei",  # in tools/page
        # A kernel that has run the notebook waits for the next visitor. Each gets a kernel alone.
        *("--preheat_kernel=True", "--pool_size=1"),
        f"--MappingKernelManager.cull_idle_timeout={IDLE}",
        "--MappingKernelManager.cull_interval=60",
    ]


def main(arguments=None):
    """Parse the command line and become the server; return the exit code if that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8866)
    text = "where to listen; another address than this computer's own lets others in"
    parser.add_argument("--ip", default="127.0.0.1", help=text)
    text = "a folder of slides for visitors; without it they see no file of this computer"
    parser.add_argument("--slides", default="", help=text)
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("voila") is None:
        print(
            "Voila is not installed: run `make app`, or `pip install -r requirements-app.txt`.",
            file=sys.stderr,
        )
        return 1
    token = secrets.token_urlsafe(24)
    print(f"Open http://{options.ip}:{options.port}/?token={token}", flush=True)
    environment = {
        **os.environ,
        VARIABLE: options.slides and str(Path(options.slides).expanduser().resolve()),
        "PYTHONPATH": _first(ROOT, "PYTHONPATH"),
        "JUPYTER_PATH": _first(ROOT / "tools" / "page", "JUPYTER_PATH"),
    }
    # In place of this process, so that whoever ends it ends the server.
    os.execve(sys.executable, command(options.port, token, options.ip), environment)


def _first(folder, variable):
    """Put a folder before those that a variable of the environment lists."""
    return os.pathsep.join(filter(None, [str(folder), os.environ.get(variable)]))


if __name__ == "__main__":
    sys.exit(main())
