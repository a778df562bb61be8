"""Execute one notebook without a browser, and tidy it for committing."""

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

from nuclei.files import InputError

WIDGET = "application/vnd.jupyter.widget-view+json"


def prepare_environment():
    """Set what kernels inherit; call it once, before `execute`."""
    # Before any kernel of the same name that the user or the system has: the one of this Python.
    kernels = str(Path(sys.prefix, "share", "jupyter"))
    os.environ["JUPYTER_PATH"] = os.pathsep.join(
        filter(None, [kernels, os.environ.get("JUPYTER_PATH")])
    )
    # Kernels work in other folders, where a relative path would lead elsewhere.
    if folder := os.environ.get("MONUSEG_DIR"):
        os.environ["MONUSEG_DIR"] = str(Path(folder).expanduser().resolve())
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def execute(notebook, copy, parameters=None, verbose=False):
    """Execute a notebook top to bottom, in its own folder and a kernel of its own.

    Parameters
    ----------
    notebook : Path
        Relative to the working directory.
    copy : Path
        Where the executed copy is written, also relative: what was asked for stays free of paths
        of this machine.
    parameters : dict, optional
        Values for the cell tagged `parameters`.
    verbose : bool
        Show what the notebook prints, not only its progress bars.

    Returns
    -------
    NotebookNode

    Raises
    ------
    InputError
        If a cell fails: names the notebook and the cell.
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
        reason = "its Python process died, perhaps for lack of memory"
    raise InputError(f"{notebook} failed in cell [{cell}] ({reason}): open {copy} to see more.")


def _last_started(copy):
    """Number the cell that was running when the kernel of an executed copy died."""
    cells = nbformat.read(copy, as_version=4).cells
    code = [cell.metadata.papermill for cell in cells if cell.cell_type == "code"]
    return sum(bool(cell.start_time) for cell in code)


def tidy(notebook, forbidden=()):
    """Remove what differs between two executions or two machines, to commit the rest.

    Parameters
    ----------
    notebook : NotebookNode
        Executed; changed in place.
    forbidden : iterable of str
        Paths of this machine.

    Raises
    ------
    InputError
        If an output shows one of the `forbidden` paths: names the cell.
    """
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.cell_type != "code":
            continue
        # Progress bars, log lines and warnings tell of one machine; the copy in runs/ keeps them.
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
    """A kernel whose C++ libraries log to the executed copy only, not to the terminal as well."""

    async def start_kernel(self, **options):
        """Start the process."""
        await super().start_kernel(stderr=subprocess.DEVNULL, **options)


class ProgressBars:
    """A terminal for the stderr of a notebook that shows progress bars and no log lines."""

    def write(self, text):
        """Pass on what redraws a line, and the line break that ends it."""
        if "\r" in text or text == "\n":
            sys.stderr.write(text)

    def flush(self):
        """Show it now."""
        sys.stderr.flush()
