"""Whole slides by several processes, and by those of other computers."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import distributed
import pytest
from slide_files import tissue
from slide_results import assert_same, results
from sockets import listening

from nuclei import ROOT
from nuclei.errors import InputError
from nuclei.slides import dask_cluster
from nuclei.slides import predict as predict_slide
from nuclei.slides.pyramid import write_pyramid

KILLED = """
import os, signal, sys

from nuclei.__main__ import main
from nuclei.slides import tile_nuclei

save, found = tile_nuclei.save, []

def save_two(path, nuclei):
    found.append(path)
    if len(found) >= 3:  # two threads may have come at once
        os.kill(os.getpid(), signal.SIGKILL)
    save(path, nuclei)

tile_nuclei.save = save_two
main()
"""
"""A run that is killed when it has found the nuclei of three tiles, however fast it is."""


def command(*arguments, start=("-m", "nuclei"), **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    words = [sys.executable, *start, "predict", *map(str, arguments)]
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.tensorflow
class TestProcesses:
    def test_killed_between_two_tiles_it_goes_on_to_the_same_result(self, tmp_path):
        path = write_pyramid(tmp_path / "slide.tif", tissue((2600, 3100))[0])
        words, sockets = ("unet", path, "--out", tmp_path / "out"), set()
        # Kernels of the notebooks run at this level, which does not silence TensorFlow.
        first = command(*words, start=("-c", KILLED), TF_CPP_MIN_LOG_LEVEL="2")
        while first.poll() is None:
            sockets |= listening(first.pid)
            time.sleep(0.2)
        assert first.returncode == -signal.SIGKILL
        assert "absl" not in first.communicate()[1]  # TensorFlow is quiet
        assert not (tmp_path / "out" / "slide.json").exists()
        # On to the end with two processes, which changes nothing either.
        second = command(*words, "--workers", 2)
        while second.poll() is None:
            sockets |= listening(second.pid)
            time.sleep(0.2)
        # Nothing listens beyond this computer: neither dashboard, nor scheduler, nor workers.
        assert len(sockets) >= 6 and {address for address, _ in sockets} == {"127.0.0.1"}
        output, progress = second.communicate()
        assert second.returncode == 0, progress
        assert "absl" not in progress  # nor do the processes that it starts speak
        assert int(re.match(r"(\d+) nuclei in 4 tiles written", output)[1]) > 100
        assert "Dask dashboard: http" in progress and "Tiles: 100%" in progress
        endings = "geojson", "json", "lock", "parquet", "zarr"
        left = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert left == [f"slide.{ending}" for ending in endings]
        predict_slide.predict("unet", path, tmp_path / "again")
        assert_same(results(tmp_path / "out"), results(tmp_path / "again"))

    def test_ctrl_c_is_left_to_the_first_process(self, capfd):
        with dask_cluster.connect(workers=2) as client:
            pids = client.run(os.getpid)
            for pid in pids.values():
                os.kill(pid, signal.SIGINT)
            assert client.run(os.getpid) == pids and len(pids) == 2
        assert "Traceback" not in capfd.readouterr().err


@pytest.mark.tensorflow
class TestScheduler:
    def test_a_worker_that_lacks_a_file_is_said(self, red, slide, tmp_path, monkeypatch):
        """Here one that sees nothing."""
        monkeypatch.setattr(dask_cluster, "_missing", list)
        with (
            distributed.LocalCluster(
                1, processes=False, dashboard_address="127.0.0.1:0", worker_dashboard_address=None
            ) as cluster,
            pytest.raises(InputError, match=f"^The worker at inproc.* does not see {slide}: use "),
        ):
            predict_slide.predict("red", slide, tmp_path, scheduler=cluster.scheduler_address)

    def test_the_recipe_predicts_with_workers_of_their_own(self, tmp_path):
        """Over TLS, which has all parts of a plain connection, and certificates."""
        if not shutil.which("openssl"):
            pytest.skip("the command openssl, which makes certificates, is not installed")
        subprocess.run([ROOT / "deploy" / "tls.sh", tmp_path / "tls"], check=True)
        path = write_pyramid(tmp_path / "slide.tif", tissue()[0])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        done = subprocess.run(
            [ROOT / "deploy" / "local.sh", "unet", path, tmp_path / "out"],
            env={
                **os.environ,
                "PORT": port,
                "PROTOCOL": "tls",
                "DASK_CONFIG": str(tmp_path / "tls" / "tls.yaml"),
            },
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert int(re.match(r"(\d+) nuclei in 4 tiles written", done.stdout)[1]) > 100
        predict_slide.predict("unet", path, tmp_path / "again")
        assert_same(results(tmp_path / "out"), results(tmp_path / "again"))

    def test_the_recipe_does_not_join_the_scheduler_of_another_run(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            done = subprocess.run(
                [ROOT / "deploy" / "local.sh", "unet", tmp_path / "a.svs", tmp_path / "out"],
                env={**os.environ, "PORT": port},
                capture_output=True,
                text=True,
                timeout=300,
            )
        said = f"The scheduler ended: if port {port} is taken, set PORT.\n"
        assert (done.returncode, done.stderr) == (1, said)

    def test_an_address_where_nothing_answers_is_said(self, red, slide, tmp_path, monkeypatch):
        monkeypatch.setattr(dask_cluster, "PATIENCE", "1s")
        with pytest.raises(InputError, match="No Dask scheduler answers at tcp://127.0.0.1:9"):
            predict_slide.predict("red", slide, tmp_path / "out", scheduler="tcp://127.0.0.1:9")

    def test_tls_without_certificates_is_said(self, red, slide, tmp_path):
        with pytest.raises(InputError, match=r"No Dask .* tls://127.0.0.1:9 .* see deploy/README"):
            predict_slide.predict("red", slide, tmp_path / "out", scheduler="tls://127.0.0.1:9")
