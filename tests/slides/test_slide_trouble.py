"""Whole slides whatever happens on the way: lost files, full disks, interruptions."""

import errno
import itertools
import json
import logging
import os
import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor

import dask
import distributed
import pyarrow.parquet as pq
import pytest
import tifffile
import zarr
from distributed.client import FutureCancelledError
from sentences import is_one_sentence
from slide_files import replaced
from slide_results import assert_same, results

from nuclei.atomic import locked
from nuclei.errors import InputError, SlideError
from nuclei.prediction import engines, stain_strength
from nuclei.slides import dask_cluster, ome_zarr
from nuclei.slides import predict as predict_slide


def fill_the_disk(red, slide, out):
    """Predict until the disk is full at the third tile; afterwards it has room again."""
    red.ends_at = 3
    with pytest.raises(InputError, match="disk is full"):
        predict_slide.predict("red", slide, out)
    red.calls, red.ends_at = 0, None


class TestTrouble:
    def test_what_is_finished_is_not_done_again(self, undisturbed, red, slide, tmp_path):
        report = predict_slide.predict("red", slide, tmp_path / "undisturbed")
        assert red.calls == 0 and report.nuclei == undisturbed["report"]["nuclei"]
        assert not (tmp_path / "undisturbed" / "slide.work").exists()

    @pytest.mark.parametrize("kind", ["zarr", "geojson", "parquet", "h5ad"])
    def test_what_no_run_has_written_is_kept(self, red, slide, tmp_path, kind):
        """Such as a slide that was converted to Zarr, or outlines drawn by hand."""
        other = tmp_path / "out" / f"slide.{kind}"
        other.mkdir(parents=True)
        (other / "by_hand").write_text("hours of work")
        with pytest.raises(SlideError, match="would be replaced, but no earlier run") as error:
            predict_slide.predict("red", slide, tmp_path / "out")
        assert is_one_sentence(error, other)
        assert (other / "by_hand").read_text() == "hours of work" and red.calls == 0

    def test_a_run_that_ended_before_it_was_tidy_is_tidied(self, undisturbed, red, slide, tmp_path):
        work = tmp_path / "undisturbed" / "slide.work"
        (work / "nuclei").mkdir(parents=True)
        predict_slide.predict("red", slide, tmp_path / "undisturbed")
        assert red.calls == 0 and not work.exists()

    @pytest.mark.parametrize(
        ("lost", "how"),
        [
            ("slide.zarr", "removed"),
            ("slide.zarr/0", "removed"),
            ("slide.zarr/.zattrs", "removed"),
            ("slide.zarr/labels/.zattrs", "removed"),
            ("slide.zarr/labels/nuclei/.zgroup", "removed"),
            ("slide.zarr/labels/nuclei/2", "removed"),
            ("slide.zarr/labels/nuclei/0/.zarray", "emptied"),
            ("slide.zarr/labels/nuclei/0/1/1", "removed"),
            ("slide.zarr/1/0/0/1", "emptied"),
            ("slide.geojson", "removed"),
            ("slide.geojson", "emptied"),
            ("slide.geojson", "cut"),
            ("slide.parquet", "removed"),
            ("slide.parquet", "cut"),
        ],
    )
    def test_a_finished_slide_whose_results_are_lost_is_predicted_again(
        self, undisturbed, red, slide, tmp_path, capsys, lost, how
    ):
        path = tmp_path / "undisturbed" / lost
        if how == "removed":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        else:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if how == "cut" else b"")
        capsys.readouterr()
        predict_slide.predict("red", slide, tmp_path / "undisturbed")
        said = capsys.readouterr().err.splitlines()[0]
        whole = tmp_path / "undisturbed" / lost.split("/")[0]
        assert said == f"{whole} is missing or damaged: the slide is predicted again."
        assert red.calls == 4
        assert_same(results(tmp_path / "undisturbed"), undisturbed)
        predict_slide.predict("red", slide, tmp_path / "undisturbed")
        assert red.calls == 4 and "again" not in capsys.readouterr().err

    @pytest.mark.parametrize("lost", [None, "slide.zarr", "slide.tif"])
    @pytest.mark.parametrize("kind", ["geojson", "parquet"])
    def test_outlines_that_were_corrected_by_hand_are_kept(
        self, undisturbed, red, slide, tmp_path, kind, lost
    ):
        """As QuPath writes them, alone and where more is lost or a part could not be read."""
        out = tmp_path / "undisturbed"
        path = out / f"slide.{kind}"
        if kind == "geojson":
            path.write_text(json.dumps(json.loads(path.read_text())["features"]))
        else:
            pq.write_table(pq.read_table(path).slice(1), path)
        if lost == "slide.zarr":
            shutil.rmtree(out / lost)
        elif lost:
            report = json.loads((out / "slide.json").read_text())
            (out / "slide.json").write_text(json.dumps({**report, "problems": {"x 0": "damaged"}}))
        corrected = path.read_bytes()
        with pytest.raises(SlideError, match="was changed since it was written: move") as error:
            predict_slide.predict("red", slide, out)
        assert is_one_sentence(error, path)
        assert path.read_bytes() == corrected and red.calls == 0
        path.unlink()
        assert predict_slide.predict("red", slide, out).nuclei == undisturbed["report"]["nuclei"]

    def test_an_interrupted_slide_whose_maps_are_lost_is_begun_again(
        self, undisturbed, red, slide, tmp_path, capsys
    ):
        fill_the_disk(red, slide, tmp_path / "out")
        shutil.rmtree(tmp_path / "out" / "slide.zarr")
        predict_slide.predict("red", slide, tmp_path / "out")
        said = "slide.zarr is missing or damaged: the slide is begun again."
        assert said in capsys.readouterr().err
        assert red.calls == 4
        assert_same(results(tmp_path / "out"), undisturbed)

    def test_a_report_without_the_parts_of_its_slide_is_of_another_one(
        self, undisturbed, slide, tmp_path
    ):
        path = tmp_path / "undisturbed" / "slide.json"
        report = json.loads(path.read_text())
        for parts in (None, [], 32 * ["00000000"]):
            report["settings"]["content"] = parts
            path.write_text(json.dumps(report))
            with pytest.raises(InputError, match="run with another slide of this name and size"):
                predict_slide.predict("red", slide, tmp_path / "undisturbed")

    NO_NUMBER = '{"settings":{},"tiles":1,"nuclei":[],"problems":{},"seconds":1,"offset":[0,0]}'

    @pytest.mark.parametrize(
        "text", ["{", "[]", "{}", '{"settings": {}}', '{"settings": 1}', NO_NUMBER]
    )
    def test_a_file_that_is_no_report_is_said(self, red, slide, tmp_path, text):
        (tmp_path / "slide.json").write_text(text)
        with pytest.raises(InputError, match="slide.json is not the report of a slide: remove it"):
            predict_slide.predict("red", slide, tmp_path)

    def test_a_full_disk_loses_nothing_finished(
        self, undisturbed, red, slide, tmp_path, caplog, monkeypatch
    ):
        monkeypatch.setattr(logging.getLogger("distributed"), "handlers", [caplog.handler])
        fill_the_disk(red, slide, tmp_path / "out")
        assert not caplog.records  # else Dask prints a traceback before the sentence
        assert not (tmp_path / "out" / "slide.json").exists()
        predict_slide.predict("red", slide, tmp_path / "out")
        assert 0 < red.calls <= 2
        assert_same(results(tmp_path / "out"), undisturbed)

    @pytest.mark.parametrize(
        ("at", "again"), [("Numbering", 4), ("_fill_pyramids", 0), ("Report", 0)]
    )
    def test_an_end_between_two_steps_is_no_harm(
        self, undisturbed, red, slide, tmp_path, monkeypatch, at, again
    ):
        def ended(*_, **__):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(predict_slide, at, ended)
            predict_slide.predict("red", slide, tmp_path / "out")
        red.calls = 0
        predict_slide.predict("red", slide, tmp_path / "out")
        assert red.calls <= again
        assert_same(results(tmp_path / "out"), undisturbed)

    def test_a_folder_that_cannot_be_written_is_said(self, red, slide, tmp_path, monkeypatch):
        class Full:
            shape = (1300, 2300)

            def __setitem__(self, *_):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(ome_zarr, "open_array", lambda *_: Full())
        with pytest.raises(InputError, match="could not be written.*free some space"):
            predict_slide.predict("red", slide, tmp_path / "out")

    def test_a_damaged_tile_is_reported_and_the_rest_completes(
        self, undisturbed, red, slide, tmp_path
    ):
        with tifffile.TiffFile(slide) as file:
            page = file.pages.first
            tile = 9 * 5 + 1  # in the last row of nine, where no other tile looks
            offset, length = page.dataoffsets[tile], page.databytecounts[tile]
        whole = slide.read_bytes()
        damaged = whole[:offset] + b"\xff" * length + whole[offset + length :]
        slide.write_bytes(damaged)
        report = predict_slide.predict("red", slide, tmp_path / "out")
        assert list(report.problems) == ["x 0 to 1024, y 1024 to 1300"]
        assert report.nuclei > undisturbed["report"]["nuclei"] / 2
        # With the file whole again, only what was missing is done.
        slide.write_bytes(whole)
        red.calls = 0
        assert not predict_slide.predict("red", slide, tmp_path / "out").problems
        assert red.calls == len(report.problems)
        assert_same(results(tmp_path / "out"), undisturbed)

    def test_a_slide_that_is_replaced_by_one_of_its_size_is_not_mixed(
        self, undisturbed, red, slide, tmp_path
    ):
        fill_the_disk(red, slide, tmp_path / "out")
        true = slide.read_bytes()
        slide.write_bytes(replaced(true))
        for out in ("out", "undisturbed"):
            with pytest.raises(InputError, match="with another slide of this name and size: use"):
                predict_slide.predict("red", slide, tmp_path / out)
        slide.write_bytes(true)
        predict_slide.predict("red", slide, tmp_path / "out")
        assert_same(results(tmp_path / "out"), undisturbed)

    def test_a_process_that_ends_while_it_is_started_is_said(self, monkeypatch):
        def failed(*_, **__):
            raise RuntimeError("Nanny failed to start.")

        monkeypatch.setattr("distributed.LocalCluster", failed)
        with (
            pytest.raises(InputError, match="One of 2 processes ended while it was started"),
            dask_cluster.connect(workers=2),
        ):
            pass

    def test_a_run_goes_on_after_the_computer_has_slept(self, monkeypatch):
        """An hour passes, by the clock, whenever Dask looks whether its worker is silent."""
        hours, now = itertools.count(), time.time
        monkeypatch.setattr("distributed.scheduler.time", lambda: now() + 3600 * next(hours))
        with (
            dask.config.set({"distributed.scheduler.worker-ttl": "100ms"}),
            dask_cluster.connect() as client,
        ):
            assert client.submit(time.sleep, 0.5).result(timeout=300) is None

    def test_processes_of_a_busy_computer_may_take_long_to_answer(self, monkeypatch):
        monkeypatch.setattr(dask_cluster, "PATIENCE", "1us")
        with dask_cluster.connect() as client:
            assert client.submit(abs, -1).result() == 1

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (
                distributed.KilledWorker("find", None, 3),
                "A worker crashed .*--memory-limit 0, then",
            ),
            (FutureCancelledError("find", "scheduler-connection-lost"), "The scheduler was lost: "),
            (OSError("Stale file handle"), "A worker stopped .Stale file handle.: fix this"),
        ],
    )
    def test_trouble_with_workers_is_one_sentence(self, error, said):
        (future := Future()).set_exception(error)
        with pytest.raises(InputError, match=said + ".* run the same command again to continue.$"):
            dask_cluster._result(future)

    def test_what_zarr_was_writing_is_removed(self, undisturbed, red, slide, tmp_path):
        fill_the_disk(red, slide, tmp_path / "out")
        (tmp_path / "out/slide.zarr/0/0.0123.partial").touch()
        predict_slide.predict("red", slide, tmp_path / "out")
        assert not list((tmp_path / "out").rglob("*.partial"))

    def test_chunks_without_nuclei_are_written_whichever_thread_opens_the_array(
        self, undisturbed, tmp_path, monkeypatch
    ):
        """The setting of Zarr is one for all threads, and each puts back what it found."""
        store, opened = tmp_path / "undisturbed" / "slide.zarr", zarr.open_array

        def slow(path, **options):
            time.sleep(0.05 if path.endswith("0") else 0.15)
            return opened(path, **options)

        monkeypatch.setattr(zarr, "open_array", slow)
        with ThreadPoolExecutor(2) as pool:
            arrays = pool.map(ome_zarr.open_array, [f"{store}/0", f"{store}/1"])
        assert all(array._async_array._config.write_empty_chunks for array in arrays)

    def test_two_runs_into_one_folder_exclude_each_other(self, red, slide, tmp_path):
        with (
            locked(tmp_path / "out" / "slide.lock", "a slide"),
            pytest.raises(SlideError, match="Another run is predicting slide.tif"),
        ):
            predict_slide.predict("red", slide, tmp_path / "out")

    def test_after_results_are_removed_another_resolution_has_another_layout(
        self, undisturbed, slide, tmp_path
    ):
        shutil.rmtree(tmp_path / "undisturbed")
        predict_slide.predict("red", slide, tmp_path / "undisturbed", mpp=0.5)
        shapes = [level.shape for level in results(tmp_path / "undisturbed")["labels"]]
        assert shapes == [(2600, 4600), (1300, 2300), (650, 1150), (325, 575)]

    def test_results_of_another_engine_are_not_mixed(self, red, slide, tmp_path, monkeypatch):
        monkeypatch.setattr(engines, "fingerprint", lambda model, engine: f"weights for {engine}")
        predict_slide.predict("red", slide, tmp_path / "out", engine="keras")
        report = json.loads((tmp_path / "out" / "slide.json").read_text())
        assert report["settings"]["engine"] == "keras"
        with pytest.raises(InputError, match="another engine .keras, not openvino"):
            predict_slide.predict("red", slide, tmp_path / "out", engine="openvino")

    def test_other_settings_are_not_mixed(self, undisturbed, slide, tmp_path):
        with pytest.raises(InputError, match=r"another threshold \(0.5, not 0.7\)"):
            predict_slide.predict("red", slide, tmp_path / "undisturbed", threshold=0.7)

    @pytest.mark.parametrize("older", [False, True])
    def test_tiles_that_saw_another_stain_are_not_mixed(
        self, undisturbed, red, slide, tmp_path, monkeypatch, older
    ):
        """Settings of an older version do not name the stain, which it did not change."""
        fill_the_disk(red, slide, tmp_path / "out")
        begun = tmp_path / "out" / "slide.work" / "settings.json"
        settings = json.loads(begun.read_text())
        if older:
            del settings["stain"]
            begun.write_text(json.dumps(settings))
        with monkeypatch.context() as patched:
            patched.setattr(stain_strength, "factor", lambda image: 1.5)
            with pytest.raises(SlideError, match=r"another stain \(1.0, not 1.5\): use another"):
                predict_slide.predict("red", slide, tmp_path / "out")
        predict_slide.predict("red", slide, tmp_path / "out")
        assert red.calls < 4
        assert_same(results(tmp_path / "out"), undisturbed)
