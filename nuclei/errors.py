"""Errors that the user can fix."""


class InputError(ValueError):
    """A problem that the user can fix: the message is one sentence with the file and the cure."""


class SlideError(InputError):
    """A slide, or a part of one, cannot be read. Other slides and other parts still can be."""
