"""The runs that are killed by torture.py: of a slide, of a training and of a download."""

import csv
import hashlib
import importlib
import json
import os
import shutil
import signal
import sys
import threading
import time
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import h5py
import numpy as np
import pyarrow.parquet as pq
import zarr
from PIL import Image
from tiny_monuseg import published, tiny_images

from nuclei import ROOT
from nuclei.data import synthetic
from nuclei.errors import run_script
from nuclei.slides.pyramid import write_pyramid


def difference(expected, found):
    """The first name whose content differs or that is only in one of two dictionaries, or None."""
    for name in sorted({*expected, *found}):
        if name not in expected or name not in found or expected[name] != found[name]:
            return name
    return None


def files(out):
    """The bytes of all files in a folder, by name."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    "CUDA_VISIBLE_DEVICES": "",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}
PRELOAD = {
    "slide": ["nuclei.slides.predict", "openvino"],
    "training": ["torture_training"],
    "download": ["torture_download"],
}
"""What takes each of them seconds to import."""


def run(module, arguments, environment, said):
    """Run the `main()` of a module in this process, as if from the command line."""
    os.environ.update(environment)
    file = os.open(said, os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [module, *arguments]
    for name in ("__file__", "__spec__"):  # what Dask starts does not import torture.py
        vars(sys.modules["__main__"]).pop(name, None)
    sys.modules["__main__"].__spec__ = None
    run_script(importlib.import_module(module).main)


class _Run:
    environment = ENVIRONMENT
    has_workers = False

    def prepare(self, folder):
        """Write what the runs read."""

    def check(self, out):
        """Say which file is not whole, although it has its final name."""
        try:
            self.read(out)
        except Exception as error:
            return f"half a file: {type(error).__name__}: {error}"
        return None

    def read(self, out):
        """Read all files that have their final names; an error if one is not whole."""
        raise NotImplementedError

    def forget(self, out):
        """Remove what a run has written."""
        shutil.rmtree(out, ignore_errors=True)


class SlideRun(_Run):
    """`predict` of a slide of 4 tiles, by `unet` in int8, with one or two workers."""

    name, has_workers = "slide", True
    workers_of = (1, 1, 2)

    def prepare(self, folder):
        self.slide = folder / "slide.tif"
        image, _ = synthetic.tissue(3, (1024, 1024))
        write_pyramid(self.slide, np.tile(image, (2, 2, 1))[:1200, :1200])

    def command(self, out, rng):
        words = ["predict", "unet", self.slide, "--out", out, "--engine", "openvino-int8"]
        words += ["--workers", rng.choice(self.workers_of)]
        return "nuclei.__main__", [str(word) for word in words]

    def with_workers(self, module, words):
        """The same command with two workers."""
        return module, [*words[:-1], "2"]

    def workers(self, family):
        """Those of Dask, not what `multiprocessing` keeps beside them."""
        return [one for one in family if "spawn_main" in " ".join(one.cmdline())]

    def read(self, out):
        if (path := out / "slide.json").exists():
            json.loads(path.read_text())
            for kind in ("geojson", "parquet"):
                assert (out / f"slide.{kind}").exists(), f"there is a report, but no {kind}"
        if (path := out / "slide.geojson").exists():
            json.loads(path.read_text())
        if (path := out / "slide.parquet").exists():
            pq.read_table(path)
        for path in out.glob("slide.work/nuclei/[0-9]*.npy"):
            np.load(path)
        if (out / "slide.work" / "settings.json").exists():
            store = zarr.open_group(out / "slide.zarr", mode="r")
            for place in store, store["labels/nuclei"]:
                for level in place.attrs["multiscales"][0]["datasets"]:
                    place[level["path"]][:]

    def result(self, out):
        found = files(out)
        report = json.loads(found["slide.json"])
        del report["seconds"]
        return found | {"slide.json": report}


class TrainingRun(_Run):
    """A training of 4 epochs of a tiny network, with `Checkpoint`."""

    name = "training"

    def command(self, out, rng):
        return "torture_training", [str(out)]

    def read(self, out):
        for name in ("best", "state"):
            if (path := out / f"{name}.weights.h5").exists():
                arrays(path)
        if (path := out / "history.csv").exists():
            rows = list(csv.reader(path.open(newline="")))
            assert rows and len(set(map(len, rows))) == 1

    def result(self, out):
        found = files(out)
        rows = list(csv.DictReader((out / "history.csv").open(newline="")))
        found["history.csv"] = [{**row, "seconds": ""} for row in rows]
        for name in ("best", "state"):  # equal weights give other bytes of HDF5
            found[f"{name}.weights.h5"] = arrays(out / f"{name}.weights.h5")
        return found


class DownloadRun(_Run):
    """`download` of two archives with five small images, from a server that takes its time."""

    name = "download"

    def prepare(self, folder):
        (folder / "server").mkdir(parents=True)
        images = tiny_images()
        for path, data in published(images).items():
            archive = folder / "server" / f"{path.parts[0].replace(' ', '')}.zip"
            with zipfile.ZipFile(archive, "a") as opened:
                opened.writestr(path.as_posix(), data)
        self.sums = folder / "sums.sha256"
        self.sums.write_text(
            "".join(
                f"{hashlib.sha256(one.tiff).hexdigest()}  {one.folder}/TissueImages/{name}.tif\n"
                for name, one in images.items()
                if name[:12] != "TCGA-FG-A87N"
            )
        )
        server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(_Slow, directory=str(folder / "server"))
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.environment = self.environment | dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1")
        names = sorted(path.name for path in (folder / "server").iterdir())
        self.archives = [f"http://127.0.0.1:{server.server_port}/{name}" for name in names]

    def command(self, out, rng):
        return "torture_download", [str(out / "MoNuSeg"), str(self.sums), *self.archives]

    def read(self, out):
        for path in out.rglob("[A-Z]*.*"):
            if path.suffix == ".zip":
                assert zipfile.ZipFile(path).testzip() is None
            elif path.suffix in (".tif", ".png"):
                Image.open(path).load()
        if (out / "MoNuSeg").exists():
            assert len([path for path in (out / "MoNuSeg").rglob("*") if path.is_file()]) == 20

    def result(self, out):
        return files(out)


class _Slow(SimpleHTTPRequestHandler):
    """Serves a file in small pieces, so that there is time to kill who fetches it."""

    def copyfile(self, source, outputfile):
        try:
            while piece := source.read(2000):
                outputfile.write(piece)
                outputfile.flush()
                time.sleep(0.03)
        except OSError:  # killed
            pass

    def log_message(self, *_):
        pass


def arrays(path):
    """All arrays of an HDF5 file, as bytes by name."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, one: (
                found.update({name: one[()].tobytes()}) if isinstance(one, h5py.Dataset) else None
            )
        )
    return found


RUNS = {run.name: run for run in (SlideRun(), TrainingRun(), DownloadRun())}
