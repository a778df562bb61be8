"""The shipped weights score on real tissue what their `metrics.json` says."""

import pytest

from nuclei import modelzoo, outputs
from nuclei.data import monuseg
from nuclei.prediction import windows
from nuclei.scores import pixels

NAMES = outputs.models_of()
BARS = {
    "unet": 0.80,
    "segnet": 0.78,
    "deeplabv3_mobilenetv2": 0.805,
    "deeplabv3_xception": 0.77,
    "unet_instances": 0.81,
    "unet_wide_instances": 0.81,
    "unet_efficientnet_lite0_instances": 0.80,
}
"""Mean Dice on the test images that each model has to reach."""


@pytest.mark.parametrize("name", NAMES)
def test_the_recorded_dice_is_measured_again(name, monuseg_folder):
    model = modelzoo.load(name)
    recorded = modelzoo.read_metrics(modelzoo.MODELS / name)
    # The weights of a refitted model were also trained on the validation images.
    for split in ("test",) if "refit" in recorded else ("val", "test"):
        report, samples = recorded[split], monuseg.load(split, monuseg_folder)
        assert [image["name"] for image in report["images"]] == [x.name for x in samples]
        # Every tenth image, because all of them take minutes; `make measure` takes them all.
        for sample, image in list(zip(samples, report["images"], strict=True))[::10]:
            predicted = windows.predict(model, sample.image) >= report["threshold"]
            dice = pixels.confusion(predicted, sample.mask).scores().dice
            # Kernels differ from processor to processor in the last digits.
            assert dice == pytest.approx(image["dice"], abs=2e-3)
    assert recorded["test"]["mean"]["dice"]["mean"] >= BARS[name]


@pytest.mark.parametrize("name", NAMES)
def test_other_engines_lose_little_on_the_validation_images(name):
    measured = modelzoo.read_metrics(modelzoo.MODELS / name).get("engines")
    if measured is None:
        pytest.skip(f"{name} was not measured with other engines: run `make measure`")
    for engine, bar in (("openvino", 1e-4), ("openvino-int8", 2e-3)):
        for score in ("dice", "aji"):
            loss = measured["keras"]["val"][score] - measured[engine]["val"][score]
            assert loss <= bar, f"{engine}, {score}"


@pytest.mark.parametrize("name", NAMES)
def test_no_patient_that_is_held_out_was_fitted(name):
    recorded = modelzoo.read_metrics(modelzoo.MODELS / name)
    assert recorded["val_patients"] == sorted(monuseg.VAL_PATIENTS)
    fitted = "trainval" if "refit" in recorded else "train"
    assert recorded["train_patients"] == sorted(monuseg.patients(fitted))
    assert not set(recorded["train_patients"]) & set(monuseg.patients("test"))
