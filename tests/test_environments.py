"""Machines, folders and terminals as users have them, each in a process of its own."""

import errno
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nuclei import ROOT
from nuclei.keras_backend import BACKENDS

PYTHON = sys.executable
POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has other streams and locks")


def run(command, folder, *, installed=False, text=True, **variables):
    """Run a command in a folder, with other environment variables; None removes one."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment |= {name: str(value) for name, value in variables.items() if value is not None}
    for name in [name for name, value in variables.items() if value is None]:
        environment.pop(name, None)
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=text, timeout=300
    )


@pytest.fixture
def here(tmp_path):
    """A folder with an image."""
    pixels = np.full((30, 41, 3), (100, 90, 160), np.uint8)
    pixels[5:12, 20:29] = 200, 90, 160
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path


def shadow(folder):
    """Fill a folder with files that have the names of modules, and end the process if imported.

    Modules that Python itself imports before it runs a package are left out: `python -m` of any
    package fails in a folder with them.
    """
    started = subprocess.run(
        [PYTHON, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True
    )
    needed = {"importlib", "types", "warnings"} - set(started.stdout.split())
    names = {*sys.stdlib_module_names, *packages_distributions()} - needed
    for name in names - {"nuclei", "__main__"}:
        if name.isidentifier():
            (folder / f"{name}.py").write_text(f"raise SystemExit('{name}.py was imported')\n")
    assert (folder / "random.py").exists() and (folder / "numpy.py").exists()
    return folder


class TestCurrentFolder:
    """Files of the current folder are no modules of Python."""

    @pytest.mark.parametrize("options", [["-m", "nuclei"], ["-mnuclei"], ["-m", "nuclei.__main__"]])
    def test_python_m(self, tmp_path, options):
        done = run([PYTHON, *options, "--help"], shadow(tmp_path))
        assert (done.returncode, done.stderr) == (0, "") and "usage: " in done.stdout

    def test_the_console_command(self, tmp_path):
        command = Path(PYTHON).with_name("nuclei")
        if not command.exists():
            pytest.skip("the package is not installed")
        done = run([command, "--help"], shadow(tmp_path))
        assert (done.returncode, done.stderr) == (0, "") and "usage: " in done.stdout

    def test_a_checkout_that_is_the_current_folder(self, tmp_path):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "nuclei", tmp_path / "nuclei", ignore=ignored)
        (tmp_path / "nuclei" / "__main__.py").write_text("import nuclei; print(nuclei.__file__)\n")
        done = run([PYTHON, "-m", "nuclei"], shadow(tmp_path), PYTHONPATH=None)
        assert done.stdout.strip() == str(tmp_path / "nuclei" / "__init__.py"), done.stderr

    def test_a_program_of_the_user_keeps_its_folder(self, tmp_path):
        (tmp_path / "mine.py").write_text("import nuclei, helper\n")
        (tmp_path / "helper.py").write_text("print('found')\n")
        for command in ([PYTHON, "-m", "mine"], [PYTHON, "mine.py"], [PYTHON, "-c", "import mine"]):
            assert run(command, tmp_path).stdout == "found\n"


STAND_IN = """
import sys


class Red:
    name = "red"
    output_shape = (None, None, None, 1)

    def predict_on_batch(self, batch):
        return batch[..., :1] / 255


from nuclei.__main__ import main
from nuclei.prediction import engines

engines.load = lambda name, engine: engines.KerasEngine(Red())
engines.choose = lambda name, engine: "keras"
engines.fingerprint = lambda name, engine: name

sys.exit(main())
"""


@POSIX
class TestStreams:
    """A run goes on, whoever listens."""

    SHELL = {
        "head": ("| true", 0),
        "head of both": ("2>&1 | true", 0),
        "no output": (">&-", 0),
        "no errors": ("2>&-", 0),
        "nothing": ("<&- >&- 2>&-", 0),
        "full disk": ("> /dev/full", 1),
    }

    @pytest.mark.parametrize("streams", SHELL)
    def test_the_files_are_written_and_nothing_breaks(self, here, streams):
        if "full" in streams and not Path("/dev/full").exists():
            pytest.skip("this system has no /dev/full")
        (here / "main.py").write_text(STAND_IN)
        redirection, code = self.SHELL[streams]
        command = f'"$0" main.py predict red a.png --out out {redirection}; exit ${{PIPESTATUS[0]}}'
        done = run(["bash", "-c", command, PYTHON], here)
        assert [path.name for path in (here / "out").iterdir()] == ["a_mask.png"]
        with Image.open(here / "out" / "a_mask.png") as mask:
            assert np.count_nonzero(mask) == 63
        assert done.returncode == code
        assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
        if "errors" in streams:
            assert done.stdout == "1 of 1 masks written to out.\n"  # and no progress
        if "full" in streams:
            sentence = "Standard output could not be written (No space left on device): free some"
            assert done.stderr.splitlines()[-1].startswith(sentence)

    @pytest.mark.parametrize("redirection", ["| true", "2>&1 | true", ">&-", "2>&-", "> /dev/full"])
    @pytest.mark.parametrize(("arguments", "code"), [("--help", 0), ("unknown", 2)])
    def test_help_and_mistakes(self, tmp_path, redirection, arguments, code):
        command = f'"$0" -m nuclei {arguments} {redirection}; exit ${{PIPESTATUS[0]}}'
        done = run(["bash", "-c", command, PYTHON], tmp_path)
        assert done.returncode == code
        assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr

    def test_python_without_standard_error(self, tmp_path):
        code = (
            "from nuclei import keras_backend\nwith keras_backend.silence_native_stderr(): print(1)"
        )
        command = ["bash", "-c", '"$0" -c "$1" 2>&-', PYTHON, code]
        done = run(command, tmp_path, TF_CPP_MIN_LOG_LEVEL=None)
        assert (done.returncode, done.stdout) == (0, "1\n")

    @pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
    def test_names_that_are_no_text(self, here, locale):
        name = os.fsdecode(b"no text \xff")
        (here / "main.py").write_text(STAND_IN)
        try:
            (here / "a.png").rename(here / f"{name}.png")
        except OSError:
            pytest.skip("this file system takes text only")
        command = [PYTHON, "main.py", "predict", "red", f"{name}.png", "none", f"--out={name}"]
        coerced = {"PYTHONCOERCECLOCALE": 0, "PYTHONUTF8": 0} if locale == "C" else {}
        done = run(command, here, LC_ALL=locale, **coerced)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert done.stdout.startswith("1 of 2 masks written to no text \\udcff.\n")
        assert "none does not exist: " in done.stderr
        assert [path.name for path in (here / name).iterdir()] == [f"{name}_mask.png"]


@POSIX
def test_a_user_without_a_home(tmp_path):
    code = """
import pwd

def unknown(*_):
    raise KeyError

pwd.getpwuid = unknown
from nuclei.atomic import expand
from pathlib import Path

assert Path.home().is_dir() and expand("~/a") == Path.home() / "a"
"""
    done = run([PYTHON, "-c", code], tmp_path, HOME=None)
    assert done.returncode == 0, done.stderr
    done = run(
        [PYTHON, "-c", code + f"assert str(Path.home()) == '{tmp_path}'"], tmp_path, HOME=tmp_path
    )
    assert done.returncode == 0, done.stderr  # a home needs no entry


def settings(folder, text):
    """A folder with the text as `keras.json`, as KERAS_HOME."""
    folder.mkdir()
    (folder / "keras.json").write_text(text)
    return folder


MISSING = [name for name in BACKENDS if not find_spec(name)]
NEEDED = "but the networks need tensorflow, jax or torch: set KERAS_BACKEND="


class TestKerasThatCannotBeUsed:
    """One sentence says what to set, on the command line and in Python."""

    NAMES = "names the Keras backend"
    CASES = {
        "numpy": ("numpy", "{}", f"KERAS_BACKEND {NAMES} numpy, {NEEDED}"),
        "openvino": ("openvino", "{}", f"KERAS_BACKEND {NAMES} openvino, {NEEDED}"),
        "capitals": ("JAX", "{}", f"KERAS_BACKEND {NAMES} JAX, {NEEDED}"),
        "in the file": (None, '{"backend": "numpy"}', f"keras.json {NAMES} numpy, {NEEDED}"),
        "value": (None, '{"image_data_format": 1}', "keras.json (Invalid `image_data_format` conf"),
        "no table": (None, "[]", "keras.json ('list' object has no attribute 'get'): correct or"),
    }
    for name in MISSING[:1]:
        text = f"{NAMES} {name}, which cannot be imported (No module named "
        CASES["not there"] = name, "{}", f"KERAS_BACKEND {text}"
        CASES["not there, in the file"] = None, json.dumps({"backend": name}), f"keras.json {text}"

    @pytest.mark.parametrize("case", CASES)
    def test_one_sentence_says_so(self, here, case):
        backend, text, sentence = self.CASES[case]
        variables = {"KERAS_BACKEND": backend, "KERAS_HOME": settings(here / "keras", text)}
        command = [PYTHON, "-m", "nuclei", "predict", "unet", "a.png", "--out", "out"]
        done = run([*command, "--engine", "keras"], here, **variables)
        assert done.returncode == 1 and not (here / "out").exists()
        (line,) = done.stderr.splitlines()
        assert sentence in line and line.endswith(".") and line.count(". ") == 0
        assert (here / "keras" / "keras.json").read_text() == text
        code = "from nuclei import modelzoo"
        last = run([PYTHON, "-c", code], here, **variables).stderr.splitlines()[-1]
        assert last == f"nuclei.errors.InputError: {line}"

    def test_help_does_not_need_it(self, tmp_path):
        done = run([PYTHON, "-m", "nuclei", "--help"], tmp_path, KERAS_BACKEND="numpy")
        assert done.returncode == 0 and done.stderr == ""


NO_LOCKS = f"int flock(int file, int how) {{ *__errno_location() = {errno.ENOLCK}; return -1; }}"


@pytest.fixture(scope="module")
def no_locks(tmp_path_factory):
    """A library that takes flock() from the C library, and with it from HDF5; None without gcc."""
    if sys.platform != "linux" or not shutil.which("gcc"):
        return None
    folder = tmp_path_factory.mktemp("no_locks")
    (folder / "flock.c").write_text(f"extern int *__errno_location(void);\n{NO_LOCKS}\n")
    command = ["gcc", "-shared", "-fPIC", "-o", "flock.so", "flock.c"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "flock.so"


CHANNELS_FIRST = '{"image_data_format": "channels_first", "floatx": "float16"}'


@POSIX
@pytest.mark.tensorflow
def test_a_machine_with_everything_at_once(here, no_locks):
    """Shadows, no locks, settings of another project, a home, and names that are no text."""
    shutil.copytree(ROOT / "models" / "unet", here / os.fsdecode(b"renamed \xff"))
    keras = settings(here / ".keras", CHANNELS_FIRST)
    command = [PYTHON, "-m", "nuclei", "predict", b"~/renamed \xff", b"a.png", b"--out=~/out"]
    variables = {"HOME": here, "KERAS_HOME": None, "KERAS_BACKEND": None, "LD_PRELOAD": no_locks}
    done = run(command, shadow(here), **variables)
    assert done.stdout == f"1 of 1 masks written to {here / 'out'}.\n", done.stderr
    assert done.returncode == 0 and (here / "out" / "a_mask.png").exists()
    assert (keras / "keras.json").read_text() == CHANNELS_FIRST


@POSIX
@pytest.mark.tensorflow
def test_weights_are_saved_and_loaded_without_locks_in_whatever_order_one_imports(here, no_locks):
    if not no_locks:
        pytest.skip("there is no gcc on Linux")
    code = f"""
import keras
import h5py

try:
    h5py.File("locked.h5", "w")
except OSError as error:
    assert error.errno == {errno.ENOLCK}
else:
    raise SystemExit("there are locks")

from nuclei import modelzoo
from nuclei.atomic import locked
from nuclei.networks import unet
from pathlib import Path

with locked(Path("a.lock"), "testing"):
    model = unet(width=2, depth=2)
    assert model.output_shape == (None, None, None, 1), model.output_shape
    assert {{weight.dtype for weight in model.weights}} == {{"float32"}}
    config = {{"network": "unet", "arguments": {{"width": 2, "depth": 2}}}}
    modelzoo.save("saved", model, config, [{{"epoch": 1}}], {{}})
    loaded = modelzoo.load("saved")
for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
    assert (one == other).all()
print("done")
"""
    keras = settings(here / "keras", CHANNELS_FIRST)
    variables = {"KERAS_BACKEND": None, "HDF5_USE_FILE_LOCKING": None, "LD_PRELOAD": no_locks}
    done = run([PYTHON, "-c", code], here, KERAS_HOME=keras, **variables)
    assert done.stdout == "done\n", done.stderr
