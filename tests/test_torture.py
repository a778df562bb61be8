"""A short form of `make torture`: a slide and a download that are killed, and that may not write.

Trainings are killed in training/test_checkpoints.py, other disks and folders in
slides/test_slide_trouble.py and test_environments.py.
"""

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("processes are forked and found as on Linux", allow_module_level=True)

import torture
import torture_disk
import torture_runs
from slide_files import tissue

from nuclei.slides.pyramid import write_pyramid


class SmallSlide(torture_runs.SlideRun):
    """One tile, and no processes beside the first."""

    workers_of, has_workers = (1,), False

    def prepare(self, folder):
        self.slide = folder / "slide.tif"
        write_pyramid(self.slide, tissue((400, 500))[0])


@pytest.fixture(scope="module", autouse=True)
def light():
    """The processes to fork from import no TensorFlow."""
    kinds = "slide", "download"
    torture.FORKS.set_forkserver_preload(sum((torture_runs.PRELOAD[kind] for kind in kinds), []))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in torture_runs.ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setattr(torture, "FORKED", 1)
        yield


@pytest.mark.parametrize("run", [SmallSlide, torture_runs.DownloadRun])
def test_killed_at_any_moment_it_ends_as_if_it_was_not(run, tmp_path):
    killer = torture.Killer(run(), tmp_path, seed=1)
    episodes = 0
    while not killer.killed and episodes < 20:  # the first may end before it is killed
        killer.episode(episodes, 2)
        episodes += 1
    assert not killer.findings, "\n".join(killer.findings)
    assert killer.completed == episodes and killer.killed.total() > 0


def test_files_that_may_not_grow(tmp_path):
    trouble = torture_disk.Trouble(torture_runs.DownloadRun(), tmp_path / "work", torture.Started)
    torture_disk.files_that_may_not_grow(trouble)


def test_what_is_half_written_or_left_is_found(tmp_path):
    run = torture_runs.SlideRun()
    (tmp_path / "slide.geojson").write_text("{")
    assert "half a file: JSONDecodeError" in run.check(tmp_path)
    (tmp_path / "slide.json").write_text("{}")
    assert "there is a report, but no parquet" in run.check(tmp_path)
    assert torture_runs.difference({"a": 1}, {"a": 1}) is None
    assert torture_runs.difference({"a": 1}, {"a": 1, ".draft": 1}) == ".draft"
    killer = object.__new__(torture.Killer)
    killer.run, killer.findings = run, []
    started = torture.Started("missing_module", [], tmp_path, {}, forked=False)
    killer._judge(started, *started.wait(), {0})
    assert "exit code 1, not {0}" in killer.findings[0]
