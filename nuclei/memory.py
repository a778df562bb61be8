"""Files that are in memory only."""

import io


class NamedBytes(io.BytesIO):
    """A file in memory with a name, for error messages and for what tells formats by their name.

    Parameters
    ----------
    name : str or Path
        What its `str()` is.
    content : bytes-like
    """

    def __init__(self, name, content=b""):
        super().__init__(content)
        self.name = str(name)

    def __str__(self):
        return self.name
