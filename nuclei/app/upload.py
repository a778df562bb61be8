"""A field of a page that images are dropped on or chosen with, sent piece by piece."""

import anywidget
import traitlets

from ..errors import InputError

LARGEST = 200_000_000
"""Bytes of the largest file: an image of 4,000 x 4,000 pixels has 48 million."""

# The field is the browser's own, which takes what is dropped on it, and which keyboards and screen
# readers know; the button of ipywidgets does not take drops. Pieces of 4 MB pass every server's
# limit on a message, which is 10 MB in JupyterLab.
SCRIPT = """
const PIECE = 4_000_000;

async function send(model, file, number, count) {
  const facts = { name: file.name, size: file.size, number, count };
  const size = file.size > model.get("largest") ? 0 : file.size;
  for (let start = 0; start === 0 || start < size; start += PIECE) {
    const piece = await file.slice(start, Math.min(start + PIECE, size)).arrayBuffer();
    model.send({ ...facts, start }, undefined, [piece]);
  }
}

function render({ model, el }) {
  let sent = Promise.resolve(); // files that are given while others are sent wait for these
  const label = document.createElement("label");
  label.textContent = model.get("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "file", multiple: true, accept: model.get("accept") });
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = ""; // the same file may be given again
    for (const [index, file] of files.entries()) {
      const next = () => send(model, file, index + 1, files.length);
      sent = sent.then(next, next); // also after one that could not be read
    }
  });
  label.append(input);
  el.append(label);
}

export default { render };
"""

STYLE = """
.nuclei-upload { margin: 2px }
.nuclei-upload label { display: block; color: var(--text) }
.nuclei-upload input {
  display: block; width: 100%; box-sizing: border-box; padding: 1.5em .8em; margin: .3em 0;
  border: 2px dashed #555; background: #f6f6f6; color: #111;
}
"""


class Upload(anywidget.AnyWidget):
    """A field for files.

    Parameters
    ----------
    received : callable
        Called with the name of a file, its content as bytes, its number among those that were given
        together, and how many they are.
    refused : callable
        Called with an InputError for a file that is too large, and the same two numbers.
    progress : callable
        Called with the part of a file that has arrived, 0 to 1.
    """

    _esm = SCRIPT
    _css = STYLE
    label = traitlets.Unicode("Drop images here, or choose them").tag(sync=True)
    accept = traitlets.Unicode(".png,.tif,.tiff,.jpg,.jpeg").tag(sync=True)
    largest = traitlets.Int(LARGEST).tag(sync=True)

    def __init__(self, received, refused, progress):
        super().__init__()
        self._received, self._refused, self._progress = received, refused, progress
        self._name, self._content = None, bytearray()
        self.add_class("nuclei-upload")
        self.on_msg(self._take)

    def _take(self, _, facts, buffers):
        """Add a piece to the file that is arriving; the browser sends them in order."""
        if facts["start"] == 0:
            self._name, self._content = facts["name"], bytearray()
        elif (facts["name"], facts["start"]) != (self._name, len(self._content)):
            return  # of a file that another one has taken the place of
        self._content += buffers[0]
        size, arrived = facts["size"], len(self._content)
        # Not only the script refuses: a visitor can send other messages than it does.
        if max(size, arrived) > LARGEST:
            self._content = bytearray()
            self._refused(
                InputError(
                    f"{facts['name']} has {size / 1e6:.0f} MB and this page takes up to "
                    f"{LARGEST / 1e6:.0f} MB: cut it, or use `python -m nuclei predict`."
                ),
                facts["number"],
                facts["count"],
            )
        elif arrived < size:
            self._progress(arrived / size)
        else:
            content, self._content = bytes(self._content), bytearray()
            self._received(facts["name"], content, facts["number"], facts["count"])
