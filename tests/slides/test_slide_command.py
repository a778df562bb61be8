"""Whole slides from the command line."""

import numpy as np
import pytest
import zarr
from slide_files import aperio, dicom, dicom_slide, painted

from nuclei.__main__ import main
from nuclei.slides.pyramid import write_pyramid


class TestCommand:
    def test_a_folder_of_dicom_files_is_predicted_once(self, red, tmp_path, labels, capsys):
        image = painted(labels)[:600, :700]
        dicom_slide(tmp_path / "in", image, suffix="")
        assert main(["predict", "red", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
        assert capsys.readouterr().out.count("written to") == 1
        assert [path.name for path in (tmp_path / "out").glob("*.json")] == ["c_level.json"]
        (maps,) = zarr.open_array(tmp_path / "out" / "c_level.zarr" / "0", mode="r")[:]
        np.testing.assert_array_equal(maps, image[..., 0])

    def test_dicom_identifiers_keep_their_last_number(self, red, tmp_path):
        glass, files = np.full((600, 700, 3), 243, np.uint8), []
        for number in (1, 2):
            files.append(str(tmp_path / f"1.2.840.{number}"))
            dicom(tmp_path / f"1.2.840.{number}", glass, slide=f"1.2.3.{number}")
        assert main(["predict", "red", *files, "--out", str(tmp_path / "out")]) == 0
        written = sorted(path.name for path in (tmp_path / "out").glob("*.json"))
        assert written == ["1.2.840.1.json", "1.2.840.2.json"]

    def test_results_of_links_have_the_names_of_the_links(self, red, tmp_path, capsys):
        """Workflow systems stage files as links, often to targets of one name."""
        glass, links = np.full((700, 900, 3), 243, np.uint8), []
        for name in "ab":
            (tmp_path / name).mkdir()
            target = write_pyramid(tmp_path / name / "data.tif", glass)
            (link := tmp_path / f"{name}.tif").symlink_to(target)
            links.append(str(link))
        out = tmp_path / "out"
        assert main(["predict", "red", *links, "--out", str(out)]) == 0
        written = sorted(path.name for path in out.glob("*.zarr"))
        assert written == ["a.zarr", "b.zarr"] and (out / "a.json").exists()
        assert f"{out}/a.zarr" in capsys.readouterr().out
        assert zarr.open_group(out / "a.zarr").attrs["multiscales"][0]["name"] == "a"

    def test_a_slide_of_a_wrong_resolution_lets_the_next_one_go_on(self, red, tmp_path, capsys):
        glass = np.full((700, 900, 3), 243, np.uint8)
        folder = tmp_path / "in"
        folder.mkdir()
        aperio(folder / "a.svs", glass, 0, power=None)
        aperio(folder / "b.svs", glass, 0.00025)
        dicom_slide(folder, glass)
        (folder / "c_level.dcm").unlink()
        (folder / "b_half.dcm").unlink()
        write_pyramid(folder / "d.btf", glass)
        aperio(folder / "f.svs", glass)
        main(["predict", "red", str(folder), "--out", str(tmp_path / "out")])
        output, errors = capsys.readouterr()
        said = [line for line in errors.splitlines() if line.startswith(str(folder))]
        assert [line.split(" ")[0].rpartition("/")[2] for line in said] == [
            "a.svs",
            "a_label.dcm",
            "b.svs",
        ]
        assert "/d.zarr" in output and "/f.zarr" in output

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--overlay"], "--overlay ignored for slides: "),
            (["--overlay", "--probability"], "--overlay and --probability ignored for slides: "),
            ([], None),
        ],
    )
    def test_options_of_images_are_not_ignored_silently(self, red, tmp_path, capsys, options, said):
        glass = np.full((700, 900, 3), 243, np.uint8)
        paths = [str(write_pyramid(tmp_path / f"{name}.tif", glass)) for name in "ab"]
        out = tmp_path / "out"
        assert main(["predict", "red", *paths, "--out", str(out), *options]) == 0
        lines = [line for line in capsys.readouterr().err.splitlines() if "ignored" in line]
        text = f"{said}{out}/a.zarr holds the probability and the nuclei of the slide."
        assert lines == ([text] if said else [])
