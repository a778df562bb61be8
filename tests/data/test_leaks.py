"""No pixel of a validation or test patient reaches training, in whatever way data are laid out.

Every image has a colour of its own, which augmentation leaves as it is where stain is not varied.
So each pixel of each training batch tells which patient it is of.
"""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from nuclei import ROOT, modelfiles, outputs
from nuclei.data import folder, loading, monuseg, overlap, patch_files, seen, signatures, splits
from nuclei.data.dataset import Sample
from nuclei.errors import InputError

SIDE, PATCH = 64, 32
COLOURS = np.stack(np.meshgrid(*[range(40, 250, 60)] * 3), -1).reshape(-1, 3)
"""64 colours, 60 apart in each channel; an image varies by less than 20 around its own."""


def coloured(number, shape=(SIDE, SIDE)):
    """An image of one colour and of noise, with nothing of another image in it."""
    noise = np.random.default_rng(number).integers(-18, 19, (*shape, 1))
    return (COLOURS[number] + noise).astype(np.uint8)


def numbers_of(images):
    """The numbers of the images that the pixels of batches come from."""
    found = np.unique(images.reshape(-1, 3).round().astype(np.int16), axis=0)
    distance = np.abs(found[:, None] - COLOURS[None]).max(-1)
    assert (distance.min(1) <= 25).all(), "a colour that no image has"
    return set(distance.argmin(1).tolist())


def save(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coloured(number)).save(path)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[8:20, 8:30] = 255
    return mask


@pytest.fixture(scope="module")
def patients():
    """All patients of MoNuSeg, with the seven beyond the canonical 30: number and split."""
    known = [*monuseg.patients("trainval", extra=True), *monuseg.patients("test")]
    return {patient: (i, monuseg.split_of(patient)) for i, patient in enumerate(known)}


@pytest.fixture(scope="module")
def marked(tmp_path_factory, patients):
    """MoNuSeg of 51 small images."""
    root = tmp_path_factory.mktemp("marked")
    for patient, (number, split) in patients.items():
        place, name = root / ("Test" if split == "test" else "Training"), f"{patient}-01Z-00-DX1"
        mask = save(place / "TissueImages" / f"{name}.png", number)
        (place / "GroundTruth").mkdir(exist_ok=True)
        Image.fromarray(mask).save(place / "GroundTruth" / f"{name}_bin_mask.png")
    return root


def numbers_in(patients, split):
    return {number for number, home in patients.values() if home == split}


def train(notebook, output, **parameters):
    """Run a notebook up to its batches; return the numbers in two passes over them, and in val."""
    cells = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    last = next(i for i, cell in enumerate(code) if "batches = AugmentedBatches(" in cell)
    names = {"__name__": notebook}
    parameters |= {"OUTPUT": str(output), "PATCH_SIZE": PATCH, "STRIDE": PATCH // 2}
    for cell in code[:last]:
        exec(cell, names)
        if "TRAIN = False" in cell:
            names.update(parameters)
        if "AUGMENTATION = {" in cell:  # movements stay, colours do too
            kept = "shift", "turn", "scale"
            names["AUGMENTATION"] = {
                name: value if name in kept else 0 for name, value in names["AUGMENTATION"].items()
            }
    exec(code[last].partition("batch_images")[0], names)  # without the figure
    batches = names["batches"]
    drawn = set().union(*(numbers_of(batches[i][0]) for i in range(2 * batches.steps_per_epoch)))
    return drawn, numbers_of(names["val_patches"].images)


@pytest.mark.tensorflow
class TestNotebooks:
    @pytest.mark.parametrize("notebook", ["unet", "segnet", "deeplabv3"])
    def test_batches_hold_the_training_patients_alone(
        self, notebook, marked, patients, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("MONUSEG_DIR", str(marked))
        drawn, chosen_on = train(notebook, tmp_path)
        assert drawn == {patients[name][0] for name in monuseg.patients("train")}
        assert chosen_on == numbers_in(patients, "val")

    @pytest.mark.parametrize("notebook", ["unet", "segnet", "deeplabv3"])
    def test_patch_files_of_held_out_patients_are_not_read(
        self, notebook, marked, patients, tmp_path, monkeypatch
    ):
        """Files of the test images, under the names of training images."""
        monkeypatch.setenv("MONUSEG_DIR", str(marked))
        written = tmp_path / "data" / "patches" / "train"
        patch_files.write(monuseg.load("train"), written, PATCH, PATCH // 2, progress=False)
        others = patch_files.cut_all(monuseg.load("test"), PATCH, PATCH // 2).images
        for path, pixels in zip((written / "TissueImages").iterdir(), others, strict=False):
            Image.fromarray(pixels).save(path)
        drawn, _ = train(notebook, tmp_path, PATCHES="files")
        assert drawn == {patients[name][0] for name in monuseg.patients("train")}

    def test_batches_of_a_folder_hold_its_training_images_alone(self, tmp_path):
        for number, split in enumerate(["train"] * 5 + ["val"] * 2 + ["test"] * 2):
            own(tmp_path / "own" / split, {f"{number % 3}": number})
        shutil.move(tmp_path / "own" / "train", tmp_path / "own" / "Training")
        drawn, chosen_on = train("unet", tmp_path, DATA=str(tmp_path / "own"), NAME="mine")
        assert (drawn, chosen_on) == ({2, 3, 4}, {5, 6})


def own(root, images, table=""):
    """A folder of one's own: the number of each image, by its name."""
    for name, number in images.items():
        mask = save(root / "images" / f"{name}.png", number)
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(root / "masks" / f"{name}_mask.png")
    if table:
        (root / "samples.csv").write_text(table)
    return root


def numbers_by_split(data):
    return {
        split: {number for one in samples for number in numbers_of(one.image)}
        for split, samples in loading.load_splits(data).items()
    }


class TestFolders:
    def test_the_37_training_images_are_of_no_held_out_patient(self, marked, patients):
        found = {one.patient for one in monuseg.load("train", marked, extra=True)}
        held = {name for name, (_, split) in patients.items() if split != "train"}
        assert len(found) == 24 + 7 and len(held) == 6 + 14 and not found & held

    @pytest.mark.parametrize("seed", range(5))
    def test_a_patient_is_in_one_split_of_those_that_are_drawn(self, tmp_path, seed, monkeypatch):
        images = {f"{number}": number for number in range(12)}
        rows = "".join(f"{name},{'abcd'[number % 4]}\n" for name, number in images.items())
        own(tmp_path, images, "name,patient\n" + rows)
        monkeypatch.setattr(splits, "SEED", seed)
        found = numbers_by_split(tmp_path)
        patients = [{number % 4 for number in numbers} for numbers in found.values()]
        assert len(set().union(*patients)) == sum(map(len, patients)) == 4

    def test_a_patient_who_is_named_in_two_splits_is_refused(self, tmp_path):
        table = "name,split,patient\n0,train,x\n1,val,y\n2,test,x\n"
        own(tmp_path, {"0": 0, "1": 1, "2": 2}, table)
        with pytest.raises(InputError, match="Patient x is in train and in test"):
            loading.load_splits(tmp_path)

    def test_names_of_tcga_tell_the_patient(self, tmp_path):
        names = [f"TCGA-ZZ-000{i // 3}-01Z-00-DX{i % 3}" for i in range(9)]
        own(tmp_path, {name: number for number, name in enumerate(names)})
        assert {one.patient for one in folder.index(tmp_path).entries} == {
            "TCGA-ZZ-0000", "TCGA-ZZ-0001", "TCGA-ZZ-0002"
        }  # fmt: skip
        assert sorted(map(sorted, numbers_by_split(tmp_path).values())) == [
            [0, 1, 2], [3, 4, 5], [6, 7, 8]
        ]  # fmt: skip

    @pytest.mark.parametrize("place", ["train/", ""])
    def test_held_out_patients_of_monuseg_are_known_by_name(self, tmp_path, place):
        """Patches of a test image, or another image of the patient, in a folder of one's own."""
        test = next(iter(monuseg.patients("test")))
        images = {"a": 0, "b": 1, "c": 2, f"{test}-01Z-00-DX7-PCH3": 3}
        own(tmp_path / place, images)
        if place:
            for number, split in ((4, "val"), (5, "test")):
                own(tmp_path / split, {f"{split}1": number})
            with pytest.raises(InputError, match=f"is of {test}, a test patient of MoNuSeg"):
                loading.load_splits(tmp_path)
        else:  # where splits are drawn, the patient stays where MoNuSeg has them
            found = numbers_by_split(tmp_path)
            assert found["test"] == {3} and found["train"] | found["val"] == {0, 1, 2}

    @pytest.mark.parametrize("view", ["copy", "turned", "part"])
    def test_a_copy_of_a_test_image_under_another_name_is_refused(self, tmp_path, view):
        images = {"train": {"a": 0, "b": 1}, "val": {"c": 2}, "test": {"d": 3}}
        for split, some in images.items():
            own(tmp_path / split, some)
        pixels = coloured(3)
        views = {"copy": pixels, "turned": np.rot90(pixels[:, ::-1]), "part": pixels[:32, :32]}
        copy = np.ascontiguousarray(views[view])
        Image.fromarray(copy).save(tmp_path / "train/images/b.png")
        Image.fromarray(copy[..., 0] * 0).save(tmp_path / "train/masks/b_mask.png")
        with pytest.raises(InputError, match=r"b.png \(train\) and .*d.png \(test\)"):
            loading.load_splits(tmp_path)

    def test_images_of_monuseg_are_known_by_content(self, tmp_path, monkeypatch):
        """A test image as `b.png`, and one of another name in MoNuSeg itself."""
        patient = next(iter(monuseg.patients("test")))
        test, said = f"{patient}-01Z-00-DX1", f"b.png is of {patient}, a test patient of MoNuSeg"
        known = signatures._Known(signatures.encode(coloured(1)))
        monkeypatch.setattr(signatures, "_known", lambda: [(test, known)])
        own(tmp_path / "own", {"a": 0, "b": 1, "c": 2}, "name,split\na,val\nb,train\nc,test\n")
        with pytest.raises(InputError, match=said):
            loading.load_splits(tmp_path / "own")
        (tmp_path / "one").mkdir()
        own(tmp_path / "one", {"b": 1})  # would be divided among the splits
        with pytest.raises(InputError, match=said):
            loading.load_splits(tmp_path / "one")
        train = f"{next(iter(monuseg.patients('train')))}-01Z-00-DX1"
        save(tmp_path / "monuseg" / "TissueImages" / f"{train}.png", 1)
        mask = tmp_path / "monuseg" / "GroundTruth" / f"{train}_bin_mask.png"
        mask.parent.mkdir()
        Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(mask)
        with pytest.raises(InputError, match=f"{train}.png shows {test} of MoNuSeg: fetch"):
            monuseg.load("train", tmp_path / "monuseg")


class TestStart:
    def sample(self, number, name="a"):
        image = coloured(number)
        return Sample(name, name, "", image, image[..., 0] > 0, None)

    def test_a_model_is_not_scored_on_what_it_began_with(self, tmp_path):
        held = {"train": [self.sample(1)], "val": [self.sample(2)], "test": [self.sample(3, "b")]}
        (tmp_path / "config.json").touch()
        for metrics, refused in (
            ({"train_pixels": [seen.digest(coloured(1))]}, False),
            ({"train_pixels": [seen.digest(coloured(3))]}, True),
            ({"train_patients": ["b"]}, True),
            ({"start_seen": [seen.digest(coloured(2))]}, True),
        ):
            (tmp_path / "metrics.json").write_text(json.dumps(metrics))
            if refused:
                with pytest.raises(InputError, match="unet was trained on [ab], which is in"):
                    seen.refuse("unet", seen.read(tmp_path), held)
            else:
                seen.refuse("unet", seen.read(tmp_path), held)

    @pytest.mark.parametrize("change", ["whole", "mpp", "parts", "old record"])
    def test_what_was_seen_is_known_at_another_scale_and_in_other_parts(self, tmp_path, change):
        """From one image, the first 60% are trained on; later all of it is held out."""
        own(tmp_path, {"a": 1})
        first = loading.load_splits(tmp_path)
        begun = {mark for sample in first["train"] for mark in seen.marks(sample)}
        seen.refuse("mine", begun, first)  # the other parts are still new to it
        assert not begun & {seen.digest(first["train"][0].image)}
        if change == "old record":
            begun = {seen.digest(first["train"][0].image)}
            seen.refuse("mine", begun, first)
            held = first["train"]
        elif change == "parts":  # of an image that the model has seen whole
            begun, held = set(seen.marks(loading.load(tmp_path, "all")[0])), first["test"]
        else:
            mpp = 0.5 if change == "mpp" else 0.25
            (tmp_path / "samples.csv").write_text(f"name,mpp\na,{mpp}\n")
            held = loading.load(tmp_path, "all")
            assert held[0].image.shape[0] == SIDE * mpp / 0.25
        with pytest.raises(InputError, match="mine was trained on a"):
            seen.refuse("mine", begun, {"test": held})

    def test_shipped_models_know_their_patients_and_notebooks_ask(self):
        for name in outputs.models_of():
            patients = seen.read(ROOT / "models" / name)
            refitted = "refit" in modelfiles.read_metrics(ROOT / "models" / name)
            assert len(patients & monuseg.patients("train").keys()) == 24
            assert len(patients & monuseg.patients("val").keys()) == (6 if refitted else 0)
            assert not patients & monuseg.patients("test").keys()
        for name in ("unet", "segnet", "deeplabv3"):
            text = (ROOT / "notebooks" / f"{name}.ipynb").read_text()
            assert "modelzoo.start_from(network, START, splits)" in text


def test_the_real_images_are_known_and_no_other(monuseg_folder):
    """Of each split one, turned; nothing else of MoNuSeg is taken for it."""
    for split in ("val", "test"):
        sample = monuseg.load(split, monuseg_folder)[0]
        turned = overlap.Reduced(np.ascontiguousarray(np.rot90(sample.image)))
        assert signatures.identify(turned) == sample.name
        assert signatures.identify(overlap.Reduced(sample.image[:500, :500])) is None
