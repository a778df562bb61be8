"""Serve `notebooks/try_it.ipynb` as a page: `make app`."""

import argparse
import asyncio
import importlib.util
import os
import secrets
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "tools" / "page"
"""What is searched for the template of the page, as a folder of JUPYTER_PATH."""
VARIABLE = "NUCLEI_SLIDES"
"""As `nuclei.app.fields.VARIABLE`, which is not imported to start sooner."""
IDLE = 600
"""Seconds after which the kernel of a visitor who has left ends, and with it all uploads."""
PATIENCE = 600
"""Seconds in which the page must be ready, also on a machine that others keep busy."""


def settings(port, token, ip="127.0.0.1"):
    """Write the settings of the server, as of the command `voila`.

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
        *(str(ROOT / "notebooks" / "try_it.ipynb"), "--no-browser"),
        *(f"--Voila.ip={ip}", f"--port={port}", "--Voila.port_retries=0", f"--token={token}"),
        "--template=nuclei",  # in tools/page
        # It comes with JupyterLab, and fails in a page that is none.
        "--VoilaConfiguration.extension_denylist=@jupyter-notebook/lab-extension",
        # Two kernels that have run the notebook wait for visitors: who comes soon after another one
        # finds the second. Each visitor gets a kernel alone. The next one is started once the page
        # of the visitor before is likely to be there, because both need the processor.
        *("--preheat_kernel=True", "--pool_size=2", "--VoilaKernelManager.fill_delay=5"),
        f"--VoilaExecutor.startup_timeout={PATIENCE}",
        f"--MappingKernelManager.cull_idle_timeout={IDLE}",
        "--MappingKernelManager.cull_interval=60",
    ]


def main(arguments=None):
    """Parse the command line and run the server; return the exit code."""
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
    slides = options.slides and str(Path(options.slides).expanduser().resolve())
    if slides and not os.path.isdir(slides):
        print(f"{slides} is no folder: name one with slides.", file=sys.stderr)
        return 1
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will
        try:
            probe.bind((options.ip, options.port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "ports go up to 65535"
            text = f"Port {options.port} of {options.ip} cannot be used ({reason}): "
            print(text + "choose another one, as in `make app PORT=9000`.", file=sys.stderr)
            return 1
    token = secrets.token_urlsafe(24)
    os.environ |= {
        VARIABLE: slides,
        "PYTHONPATH": _first(ROOT, "PYTHONPATH"),
        "JUPYTER_PATH": _first(PAGE, "JUPYTER_PATH"),
    }
    print("Getting the page ready ...", flush=True)
    return _serve(
        settings(options.port, token, options.ip),
        f"http://{options.ip}:{options.port}/?token={token}",
    )


def _serve(arguments, address):
    """Run the server until it is ended; return the exit code."""
    from tornado.ioloop import IOLoop
    from voila.app import Voila

    class Server(Voila):
        """Prints the address once the page can be opened, not before."""

        code = 0

        def listen(self):
            _spare_waiting(self.kernel_manager)
            _let_pages_say_goodbye(self.identity_provider)
            _say_where_the_page_is(self.app)
            IOLoop.current().add_callback(self.announce)
            super().listen()

        async def announce(self):
            try:
                await asyncio.wait_for(_until_written(self.kernel_manager), PATIENCE)
            except Exception as error:
                why = str(error) or f"it took more than {PATIENCE} seconds"
                text = f"The page cannot be shown ({why}): see the lines above, or end other "
                print(text + "programs and try again.", file=sys.stderr)
                Server.code = 1
                self.ioloop.stop()
            else:
                print(f"Open {address}", flush=True)

    Server.launch_instance(arguments)
    return Server.code


async def _until_written(manager):
    """Wait until the kernels that wait for visitors have run the notebook."""
    for start in tuple(manager._pools[manager.notebook_path]):
        await (await start)["task"]


def _say_where_the_page_is(app):
    """Show a sentence, `login.html` of the page, to who comes without the token of this server.

    The form of Jupyter asks for a password, and speaks of commands that know nothing of this page.
    """
    folder = PAGE / "voila" / "templates" / "nuclei"
    app.settings["jinja2_env"].loader.searchpath.insert(0, str(folder))


def _spare_waiting(manager):
    """Keep the kernels that wait for visitors, which Jupyter would end for being idle."""
    end_if_idle = manager.cull_kernel_if_idle

    async def end_if_left(number):
        tasks = [task for pool in manager._pools.values() for task in pool if task.done()]
        if any(task.result()["kernel_id"] == number for task in tasks):
            # A visitor who gets it has `IDLE` seconds to connect.
            manager.get_kernel(number).last_activity = datetime.now(UTC)
        else:
            await end_if_idle(number)

    manager.cull_kernel_if_idle = end_if_left


def _let_pages_say_goodbye(provider):
    """Give each page the cookie that it needs to end its kernel when it is closed.

    The script of Voila sends that request, and Jupyter refuses it without the cookie, which Voila
    0.5 does not set.
    """
    set_login_cookie = provider.set_login_cookie

    def set_both(handler, user):
        handler.current_user = user  # as Jupyter does next; the token asks for it
        _ = handler.xsrf_token  # asking for it sets its cookie
        set_login_cookie(handler, user)

    provider.set_login_cookie = set_both


def _first(folder, variable):
    """Put a folder before those that a variable of the environment lists."""
    return os.pathsep.join(filter(None, [str(folder), os.environ.get(variable)]))


if __name__ == "__main__":
    sys.exit(main())
