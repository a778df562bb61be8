"""The whole download against a server of its own, with what can go wrong on the way."""

import hashlib
import shutil
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nuclei.atomic import locked
from nuclei.data import download, monuseg
from nuclei.errors import InputError

TRAINING, TEST = "MoNuSeg 2018 Training Data.zip", "MoNuSegTestData.zip"


class Server:
    """Serves bytes by name and lists the requests; what is in `broken` stops half way."""

    def __init__(self):
        self.files, self.broken, self.requests = {}, set(), []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                name = self.path.strip("/")
                outer.requests.append(name)
                if name not in outer.files:
                    return  # hangs up
                data = outer.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if name in outer.broken else data)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, name):
        return f"http://127.0.0.1:{self.http.server_port}/{name}"


@pytest.fixture
def server(zipped, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):  # the latter prevails where both are set
        monkeypatch.setenv(name, "127.0.0.1")
    server = Server()
    server.files = {
        "training": (zipped / TRAINING).read_bytes(),
        "test": (zipped / TEST).read_bytes(),
    }
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def fetch(server, tiny, tmp_path):
    """The download, from the server, of the canonical four of the five small images."""
    sums = tmp_path / "sums.sha256"
    sums.write_text(
        "".join(
            f"{hashlib.sha256(one.tiff).hexdigest()}  {one.folder}/TissueImages/{name}.tif\n"
            for name, one in tiny.items()
            if name[:12] != "TCGA-FG-A87N"
        )
    )
    folder = tmp_path / "data" / "MoNuSeg"
    archives = {TRAINING: server.url("training"), TEST: server.url("test")}

    def fetch():
        return download.download(folder, archives, sums)

    fetch.folder, fetch.partial = folder, folder.with_name("MoNuSeg.part")
    return fetch


def test_the_data_set_arrives_verified_in_the_canonical_layout(fetch, tiny, capsys):
    assert fetch() == fetch.folder
    assert "CC BY-NC-SA 4.0" in (printed := capsys.readouterr().out) and "Kumar" in printed
    assert not fetch.partial.exists()
    for name, one in tiny.items():
        folder = fetch.folder / one.folder
        assert (folder / "TissueImages" / f"{name}.tif").read_bytes() == one.tiff
        assert (folder / "Annotations" / f"{name}.xml").read_bytes() == one.xml
        assert (folder / "GroundTruth" / f"{name}_bin_mask.png").is_file()
    samples = monuseg.load("trainval", fetch.folder, extra=True)
    samples += monuseg.load("test", fetch.folder)
    assert len(samples) == len(tiny)
    assert all((sample.labels == tiny[sample.name].labels).all() for sample in samples)


def test_a_second_download_only_verifies(fetch, server, capsys):
    fetch()
    server.requests.clear()
    fetch()
    assert not server.requests
    assert "4 images verified" in capsys.readouterr().out


def test_a_folder_of_something_else_is_left_alone(fetch):
    fetch()
    image = next(fetch.folder.glob("Test/TissueImages/*.tif"))
    image.write_bytes(b"mine")
    with pytest.raises(InputError, match="move the folder away"):
        fetch()
    assert image.read_bytes() == b"mine"


def test_a_transfer_that_breaks_off_leaves_no_half_archive(fetch, server):
    server.broken = {"test"}
    with pytest.raises(InputError, match=f"{TEST} could not be fetched .* run the download again"):
        fetch()
    assert not fetch.folder.exists()
    assert [path.name for path in fetch.partial.glob("*.zip")] == [TRAINING]
    assert not list(fetch.partial.glob(".*"))
    server.broken.clear()
    server.requests.clear()
    fetch()
    assert server.requests == ["test"]
    assert len(monuseg.load("test", fetch.folder)) == 1


def test_two_downloads_into_one_place_exclude_each_other(fetch, server):
    with locked(fetch.partial / "lock", "it"), pytest.raises(InputError, match="Another run is"):
        fetch()
    assert not server.requests
    assert fetch().is_dir()


def test_what_a_run_left_that_was_killed_at_its_very_end_is_removed(fetch):
    fetch()
    fetch.partial.mkdir()
    (fetch.partial / TRAINING).touch()
    fetch()
    assert [path.name for path in fetch.folder.parent.iterdir()] == ["MoNuSeg"]


@pytest.mark.parametrize("step", ["atomic_write", "read_rgb"])
def test_an_interruption_shows_no_half_data_set(fetch, monkeypatch, step):
    original, calls = getattr(download, step), []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(download, step, interrupted)
        fetch()
    assert not fetch.folder.exists()
    half = fetch.partial / "MoNuSeg" / "Test" / "Labels" / ".half.png"  # as a kill leaves it
    half.parent.mkdir(parents=True, exist_ok=True)
    half.touch()
    fetch()
    assert len(list(fetch.folder.glob("*/*/*"))) == 5 * 4
    assert not fetch.partial.exists()


def test_a_wrong_checksum_is_refused_and_fetched_afresh(fetch, server, tiny, zipped):
    published = server.files["test"]
    name = next(name for name, one in tiny.items() if one.folder == "Test")
    with zipfile.ZipFile(zipped / TEST, "w") as archive:
        archive.writestr(f"MoNuSegTestData/{name}.tif", tiny["TCGA-18-5592-01Z-00-DX1"].tiff)
        archive.writestr(f"MoNuSegTestData/{name}.xml", tiny[name].xml)
    server.files["test"] = (zipped / TEST).read_bytes()
    with pytest.raises(InputError, match=f"{name}.tif differs from the published image"):
        fetch()
    assert not fetch.folder.exists()
    server.files["test"] = published
    server.requests.clear()
    fetch()
    assert server.requests == ["test"]


@pytest.mark.parametrize("damage", [b"<html>Quota exceeded</html>", None])
def test_a_damaged_archive_is_refused_and_fetched_afresh(fetch, server, damage):
    published = server.files["training"]
    zeroed = published[:3000] + bytes(50) + published[3050:]
    server.files["training"] = zeroed if damage is None else damage
    with pytest.raises(InputError, match="not a complete zip archive|is damaged in its archive"):
        fetch()
    server.files["training"] = published
    fetch()
    assert fetch.folder.is_dir()


def test_an_archive_that_lacks_an_image_is_refused(fetch, server, zipped):
    with zipfile.ZipFile(zipped / TEST, "w"):
        pass
    server.files["test"] = (zipped / TEST).read_bytes()
    with pytest.raises(InputError, match="lack 1 image, such as Test/TissueImages/TCGA-HT-8564"):
        fetch()
    assert not fetch.folder.exists() and not fetch.partial.exists()


def test_a_refused_connection_is_one_sentence_with_a_way_out(fetch, server):
    del server.files["test"]
    with pytest.raises(InputError, match="with a browser") as caught:
        fetch()
    assert server.url("test") in str(caught.value) and "\n" not in str(caught.value)


def test_an_archive_fetched_with_a_browser_is_taken(fetch, server, zipped):
    fetch.partial.mkdir(parents=True)
    shutil.copy(zipped / TEST, fetch.partial)
    fetch()
    assert server.requests == ["training"]


def test_the_committed_sums_name_the_canonical_images():
    lines = [line.split("  ") for line in download.SUMS.read_text().splitlines()]
    paths = [path.split("/") for _, path in lines]
    assert all(len(digest) == 64 for digest, _ in lines)
    for split, folder, count in (("trainval", "Training", 30), ("test", "Test", 14)):
        patients = {name[:12] for top, _, name in paths if top == folder}
        assert patients == monuseg.patients(split).keys()
        assert len(patients) == count


def test_the_committed_sums_are_those_of_the_real_images(monuseg_folder):
    for line in download.SUMS.read_text().splitlines():
        digest, path = line.split("  ")
        assert hashlib.sha256((monuseg_folder / path).read_bytes()).hexdigest() == digest
