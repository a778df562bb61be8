"""Execute a notebook without a browser, and clean it for a commit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
from jupyter_client import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from nbformat.reader import NotJSONError
from papermill.exceptions import PapermillExecutionError

from nuclei import ROOT
from nuclei.errors import InputError

WIDGET = "application/vnd.jupyter.widget-view+json"


def prepare_environment():
    """Set the environment variables that kernels inherit; call it once, before `execute`."""
    # This checkout and the kernel of this Python take precedence over what else is installed.
    for variable, first in (
        ("PYTHONPATH", ROOT),
        ("JUPYTER_PATH", Path(sys.prefix, "share", "jupyter")),
    ):
        others = os.environ.get(variable)
        os.environ[variable] = os.pathsep.join(filter(None, [str(first), others]))
    # Make the path absolute, because kernels run in other folders.
    if folder := os.environ.get("MONUSEG_DIR"):
        os.environ["MONUSEG_DIR"] = str(Path(folder).expanduser().resolve())
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def execute(notebook, copy, parameters=None, verbose=False):
    """Execute a notebook from top to bottom, in its own folder and with a new kernel.

    Parameters
    ----------
    notebook : Path
        Path of the notebook, relative to the working directory.
    copy : Path
        Path of the executed copy. It is relative too, so that the metadata contain no paths of
        this machine.
    parameters : dict, optional
        Values for the cell tagged `parameters`.
    verbose : bool
        Show the output of the notebook, not only its progress bars.

    Returns
    -------
    NotebookNode
        The executed notebook.

    Raises
    ------
    InputError
        If the notebook cannot be read or a cell fails; the message names the notebook and the cell.
    """
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.unlink(missing_ok=True)
    try:
        return papermill.execute_notebook(
            notebook,
            copy,
            parameters,
            kernel_name="python3",
            language="python",
            cwd=notebook.parent,
            progress_bar={"desc": notebook.name},
            stdout_file=sys.stdout if verbose else None,
            stderr_file=ProgressBars(),
            start_timeout=300,
            kernel_manager_class=QuietKernel,
            coalesce_streams=True,
        )
    except (FileNotFoundError, NotJSONError):
        raise InputError(
            f"{notebook} is missing or damaged: restore it with `git checkout {notebook}`."
        ) from None
    except PapermillExecutionError as error:
        cell = error.exec_count
        reason = " ".join([f"{error.ename}:", *error.evalue.splitlines()[:1]])
    except DeadKernelError:
        cell = _last_started(copy)
        reason = "its Python process died, perhaps because memory ran out"
    raise InputError(f"{notebook} failed in cell [{cell}] ({reason}): open {copy} to see more.")


def _last_started(copy):
    """Number of the cell that was running when the kernel died."""
    cells = nbformat.read(copy, as_version=4).cells
    code = [cell.metadata.papermill for cell in cells if cell.cell_type == "code"]
    return sum(bool(cell.start_time) for cell in code)


def tidy(notebook, forbidden=()):
    """Remove everything that differs between two executions or two machines.

    Parameters
    ----------
    notebook : NotebookNode
        The executed notebook, which is changed in place.
    forbidden : iterable of str
        Paths of this machine.

    Raises
    ------
    InputError
        If an output shows one of the `forbidden` paths; the message names the cell.
    """
    # The title is that of the page of `make app`.
    title = {key: value for key, value in notebook.metadata.items() if key == "title"}
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
            **title,
        }
    )
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.cell_type != "code":
            continue
        # Progress bars, log lines and warnings differ between machines; runs/ keeps them.
        cell.outputs = [
            output
            for output in cell.outputs
            if output.get("name") != "stderr" and WIDGET not in output.get("data", {})
        ]
        shown = json.dumps(cell.outputs, ensure_ascii=False)
        if found := next((path for path in forbidden if path in shown), None):
            raise InputError(
                f"Cell [{cell.execution_count}] shows {found}, a path of this machine: "
                "print paths relative to the repository."
            )


class QuietKernel(AsyncKernelManager):
    """A kernel whose C++ libraries do not log to the terminal, only to the executed copy."""

    async def start_kernel(self, **options):
        """Start the process with its stderr closed to the terminal."""
        await super().start_kernel(stderr=subprocess.DEVNULL, **options)


class ProgressBars:
    """A stream for the stderr of a notebook that shows its progress bars but no log lines."""

    def write(self, text):
        """Pass on text that redraws a line, and the line break that ends it."""
        if "\r" in text or text == "\n":
            sys.stderr.write(text)

    def flush(self):
        """Flush the terminal."""
        sys.stderr.flush()
