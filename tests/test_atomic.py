"""Files are written whole or not at all, and a sentence says why not."""

import errno
import os

import pytest
from sentences import is_one_sentence

from nuclei.atomic import atomic_write
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
