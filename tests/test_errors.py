"""Messages of other libraries become parts of a sentence."""

from nuclei.errors import LONGEST, counted, first_sentence, reason


def test_a_message_becomes_a_part_of_one_sentence():
    error = OSError("It failed. There is\n  no cause.")
    assert reason(error) == "It failed; There is no cause" and first_sentence(error) == "It failed"
    assert reason(OSError()) == first_sentence(OSError()) == "OSError"
    long = reason(ValueError("a" * 2 * LONGEST))
    assert long == "a" * LONGEST + " ..."


def test_a_number_has_its_noun():
    assert counted(1, "image") == "1 image" and counted(0, "image") == "0 images"
    assert counted(2000, "patch", "patches") == "2,000 patches"
    assert counted(1, "nucleus", "nuclei") == "1 nucleus"
