"""Files are written whole or not at all, and a sentence says why not."""

import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sentences import is_one_sentence

from nuclei import ROOT, atomic
from nuclei.atomic import (
    atomic_folder,
    atomic_write,
    expand,
    explain_write_errors,
    locked,
    write_csv,
    write_json,
)
from nuclei.errors import InputError


class TestAtomicWrite:
    def test_the_file_appears_only_when_it_is_complete(self, tmp_path):
        path = tmp_path / "new" / "folder" / "a.weights.h5"
        with atomic_write(path) as temporary:
            assert temporary.parent == path.parent
            assert temporary.name.endswith(".weights.h5")  # which Keras demands
            temporary.write_text("all of it")
            assert not path.exists()
        assert path.read_text() == "all of it"
        assert list(path.parent.iterdir()) == [path]

    def test_a_link_to_the_folder_does_not_sweep_what_is_being_written(self, tmp_path):
        (folder := tmp_path / "folder").mkdir()
        (link := tmp_path / "link").symlink_to(folder)
        with atomic_write(folder / "a") as one:
            one.write_text("a")
            with atomic_write(link / "b") as two:
                two.write_text("b")
        assert sorted(path.name for path in folder.iterdir()) == ["a", "b"]

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, InputError])
    def test_an_interruption_leaves_the_old_file_and_nothing_else(self, tmp_path, error):
        path = tmp_path / "a.txt"
        path.write_text("old")
        with pytest.raises(error, match="stop"), atomic_write(path) as temporary:
            temporary.write_text("half of")
            raise error("stop")
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_full_disk_gets_a_sentence(self, tmp_path):
        path = tmp_path / "a.txt"
        with pytest.raises(InputError, match="No space left on device") as error:  # noqa: SIM117
            with atomic_write(path) as temporary:
                temporary.write_text("half of")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        assert is_one_sentence(error, path)
        assert list(tmp_path.iterdir()) == []

    def test_a_file_where_a_folder_should_be_gets_a_sentence(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        path = tmp_path / "file" / "a.txt"
        with pytest.raises(InputError, match="choose another folder") as error, atomic_write(path):
            pass
        assert is_one_sentence(error, path)

    def test_a_folder_where_the_file_should_be_gets_a_sentence(self, tmp_path):
        path = tmp_path / "a.txt"
        path.mkdir()
        with pytest.raises(InputError, match="could not be written"):  # noqa: SIM117
            with atomic_write(path) as temporary:
                temporary.write_text("all of it")
        assert list(tmp_path.iterdir()) == [path]

    def test_two_writers_of_one_file_do_not_meet(self, tmp_path):
        path = tmp_path / "a.txt"
        with atomic_write(path) as first, atomic_write(path) as second:
            first.write_text("first")
            second.write_text("second")
        assert path.read_text() == "first"

    def test_a_name_of_any_length_that_a_file_may_have_can_be_written(self, tmp_path):
        path = tmp_path / ("ü" * 120 + ".weights.h5")  # 251 bytes; 255 are allowed
        with atomic_write(path) as temporary:
            assert temporary.name.endswith(".weights.h5")
            temporary.write_text("all of it")
        assert path.read_text() == "all of it"

    def test_what_killed_runs_of_this_machine_left_is_removed(self, tmp_path):
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        alive = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        here, there = atomic._MACHINE, "00000000"
        owners = (here, dead.pid), (here, alive.pid), (there, dead.pid)
        drafts = [tmp_path / f".{machine}-{pid}-01234567-b.txt" for machine, pid in owners]
        for draft in drafts:
            draft.write_text("half of")
        with atomic_write(tmp_path / "a.txt") as temporary:
            temporary.write_text("all of it")
        alive.communicate(b"\n")
        left = {*tmp_path.iterdir()}
        assert left == {tmp_path / "a.txt", *drafts[1:]}  # alive, or of another machine

    def test_a_tilde_stands_for_the_home_folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        with atomic_write("~/new/a.txt") as temporary:
            temporary.write_text("all of it")
        with atomic_folder("~/folder[1]") as new:
            (new / "b.txt").touch()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["folder[1]", "new"]
        assert expand("~nobody-of-this-name/a") == expand(Path("~nobody-of-this-name/a"))


def test_json_and_csv_are_utf_8_whatever_the_machine_writes(tmp_path):
    write_json(tmp_path / "new" / "a.json", {"organ": "ü", "split": [1]})
    text = (tmp_path / "new" / "a.json").read_bytes()
    assert text == b'{\n "organ": "\\u00fc",\n "split": [\n  1\n ]\n}\n'
    write_csv(tmp_path / "a.csv", [{"organ": "ü", "split": None}, {"organ": "a, b", "split": 1}])
    assert (tmp_path / "a.csv").read_bytes() == 'organ,split\nü,\n"a, b",1\n'.encode()
    write_csv(tmp_path / "a.csv", [], ["organ", "split"])
    assert (tmp_path / "a.csv").read_bytes() == b"organ,split\n"


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    for name, write in (("a.json", write_json), ("a.csv", write_csv)):
        write(tmp_path / name, [{"organ": "liver"}])
        before = (tmp_path / name).read_bytes()
        with pytest.raises((TypeError, ValueError)):
            write(tmp_path / name, [{"organ": "lung"}, {"other": object()}])
        assert (tmp_path / name).read_bytes() == before
    assert len([*tmp_path.iterdir()]) == 2


def test_folders_whose_names_differ_after_a_dot_are_written_at_once(tmp_path):
    with atomic_folder(tmp_path / "data.train") as one, atomic_folder(tmp_path / "data.val") as two:
        (one / "a.txt").touch()
        (two / "b.txt").touch()
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.txt"))
    assert found == ["data.train/a.txt", "data.val/b.txt"]


def test_a_folder_that_another_run_is_just_renaming_is_no_leftover(tmp_path, monkeypatch):
    (other := tmp_path / ".a-01234567.new").mkdir()
    now = time.time

    def after_it_is_renamed():
        shutil.rmtree(other, ignore_errors=True)
        return now()

    monkeypatch.setattr("time.time", after_it_is_renamed)
    with atomic_folder(tmp_path / "a") as new:
        (new / "b.txt").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b.txt"]


CAUSES = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.EACCES: "change its permissions or choose another folder",
    errno.EROFS: "choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "choose another folder",
    errno.ENOLCK: "choose a folder on another file system",
}


@pytest.mark.parametrize("number", CAUSES, ids=errno.errorcode.get)
def test_the_cause_decides_on_the_cure(tmp_path, number):
    reason, path = os.strerror(number), tmp_path / "a.h5"
    hdf5 = f"Unable to create file (errno = {number}, error message = '{reason}', flags = 13)"
    for text in (reason, hdf5):
        with pytest.raises(InputError) as error, explain_write_errors(path):
            raise OSError(number, text)
        assert str(error.value) == f"{path} could not be written ({reason}): {CAUSES[number]}."


def refuse_locks(monkeypatch, number):
    """Let this process meet a file system without locks."""

    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)


@pytest.fixture(params=[None, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS], ids=str)
def locks(request, monkeypatch):
    """Whether the file system has locks."""
    if request.param:
        refuse_locks(monkeypatch, request.param)
    return request.param is None


class TestLocked:
    def test_a_second_run_stops_and_the_next_one_goes_on(self, tmp_path, locks, recwarn):
        path = tmp_path / "new" / "a.lock"
        with locked(path, "predicting a.svs"):
            with pytest.raises(InputError, match="Another run is predicting a.svs: wait") as error:  # noqa: SIM117
                with locked(path, "predicting a.svs"):
                    pass
            cure = "choose another folder." if locks else "a.lock.held if that run was killed."
            assert str(error.value).endswith(cure) and str(error.value).count(". ") == 0
        with locked(path, "predicting a.svs"):
            pass
        # Python may close what other tests left open, and say so, at any time.
        assert not [warning for warning in recwarn if warning.category is not ResourceWarning]

    def test_a_lock_of_a_system_with_locks_does_not_stop_one_without(self, tmp_path, monkeypatch):
        path = tmp_path / "a.lock"
        with locked(path, "predicting a.svs"):
            pass
        refuse_locks(monkeypatch, errno.ENOLCK)  # the same folder, mounted in another way
        with locked(path, "predicting a.svs"):
            pass

    def test_a_killed_run_does_not_keep_the_lock(self, tmp_path, locks, monkeypatch):
        code = """
import fcntl, os, signal, sys
from pathlib import Path
from nuclei.atomic import locked

def flock(*_):
    raise OSError(37, "No locks available")

if sys.argv[2] == "False":
    fcntl.flock = flock
with locked(Path(sys.argv[1]), "killed"):
    os.kill(os.getpid(), signal.SIGKILL)
"""
        path = tmp_path / "a.lock"
        command = [sys.executable, "-c", code, path, str(locks)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
        # Nor where a file takes long to be removed: each look at the clock is a second later.
        monkeypatch.setattr("time.perf_counter", itertools.count().__next__)
        with locked(path, "killed"):
            pass

    def test_a_folder_that_cannot_be_made_gets_a_sentence(self, tmp_path, locks):
        (tmp_path / "file").touch()
        path = tmp_path / "file" / "a.lock"
        with pytest.raises(InputError, match="choose another folder") as error, locked(path, "it"):
            pass
        assert is_one_sentence(error, path)
