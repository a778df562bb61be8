"""The command `check`: a table of a data set, what looks wrong in it, and pictures."""

import textwrap
import unicodedata

from ..errors import InputError, counted
from ..images import write_png
from ..images.scaling import middle_of
from . import parse_path

PANELS = 24
"""Images on the contact sheet; those with warnings come first."""

CROP = 300
"""Side of the middle of an image that the contact sheet shows, in pixels."""


def add(commands):
    """Add the command to those of argparse."""
    text = "Check a folder of annotated images before a training."
    more = (
        " It lists the images and says what looks wrong, and how to repair it. Layouts of folders: "
        "docs/own_data.md. Exit code 1 if something stops a training, 0 if there are only warnings."
    )
    command = commands.add_parser("check", help=text, description=text + more)
    command.set_defaults(command=run)
    command.add_argument("folder", metavar="FOLDER", type=parse_path, help="folder, also MoNuSeg")
    text = "also write each image with its nuclei outlined, and contact_sheet.png, to this folder"
    command.add_argument("--overlay", metavar="DIR", type=parse_path, help=text)


def run(options):
    """Check a data set; return the exit code."""
    if options.overlay and options.overlay.resolve().is_relative_to(options.folder.resolve()):
        raise InputError(
            f"{options.overlay} is in the data set, where pictures would count as images: choose "
            "another folder for --overlay."
        )
    from ..data import check
    from ..prediction import results

    written = results.written_to(options.overlay) if options.overlay else ()
    if any(name.endswith("_overlay.png") for name in written):
        raise InputError(
            f"{options.overlay} has overlays of predict, which would be replaced: choose another "
            "folder for --overlay."
        )
    panels = {}

    def draw(sample):
        from ..prediction.overlay import outline

        nuclei = sample.mask if sample.labels is None else sample.labels
        write_png(options.overlay / f"{sample.name}_overlay.png", outline(sample.image, nuclei))
        # Copies, because a view would keep the whole image in memory.
        panels[sample.name] = [middle_of(x, CROP).copy() for x in (sample.image, sample.mask)]

    report = check.check(options.folder, draw if options.overlay else None)
    print(table(report.rows))
    print("size: width x height, once scaled to 0.25 um/px if um/px is known; share: of pixels in")
    print("nuclei; shift of the annotation, in pixels to the right and down")
    for title, sentences in (
        ("Stops a training", report.problems),
        ("Looks wrong", report.warnings),
        ("Good to know", report.notes),
    ):
        if sentences:
            print(f"\n{title}:")
            print(*(_listed(sentence) for sentence in sentences), sep="\n")
    if not (report.problems or report.warnings):
        print("\nNothing looks wrong.")
    if panels:
        _write_contact_sheet(options.overlay / "contact_sheet.png", report.rows, panels)
        number = counted(len(panels), "overlay")
        print(f"\n{number} and contact_sheet.png written to {options.overlay}.")
    return 1 if report.problems else 0


def table(rows):
    """Format what was found in each image as a table.

    Parameters
    ----------
    rows : list of check.Row

    Returns
    -------
    str
        One line for each image. `~` stands before pieces of masks, which may be several nuclei.
    """
    from ..data.alignment import FIT

    lines = [("image", "split", "size", "um/px", "annotation", "nuclei", "share", "shift", "")]
    for row in rows:
        found = row.alignment
        shift = "no fit" if found and found.fit < FIT else "-"
        if found and found.fit >= FIT:
            shift = f"{found.right:+.1f}, {found.down:+.1f}"
        lines.append(
            (
                row.name,
                row.split or "-",
                f"{row.size[1]} x {row.size[0]}" if row.nuclei or not row.problem else "-",
                f"{row.mpp:g}" if row.mpp else "-",
                row.kind,
                f"{'~' * (row.kind == 'mask')}{row.nuclei:,}",
                f"{row.share:.1%}",
                shift,
                "unreadable" if row.problem else "look" if row.warnings else "",
            )
        )
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    left = (0, 1, 4, 8)
    return "\n".join(
        "  ".join(
            (str.ljust if place in left else str.rjust)(cell, width + len(cell) - _width(cell))
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _width(text):
    """How wide a terminal shows a text: accents of their own take no place, Chinese takes two."""
    shown = [letter for letter in text if not unicodedata.combining(letter)]
    return len(shown) + sum(unicodedata.east_asian_width(letter) in "WF" for letter in shown)


def _listed(sentence):
    return textwrap.indent(f"- {sentence}", "  ").replace("\n", "\n  ")


def _write_contact_sheet(path, rows, panels):
    """Draw the middle of images with their nuclei outlined; those with warnings come first."""
    from ..figures.style import save_figure
    from ..figures.tissue import gallery

    rows = [row for row in rows if row.name in panels]
    odd = [row for row in rows if row.warnings][:PANELS]
    others = [row for row in rows if not row.warnings]
    number = min(PANELS - len(odd), len(others))
    rows = odd + [others[i * len(others) // number] for i in range(number)]
    titles = [
        textwrap.shorten(row.name, 24, placeholder="...") + "\nlook" * bool(row.warnings)
        for row in rows
    ]
    images, masks = zip(*(panels[row.name] for row in rows), strict=True)
    title = f"{len(rows)} of {counted(len(panels), 'image')}, the middle {CROP} x {CROP} pixels"
    save_figure(gallery(images, masks, titles, title, columns=6), path, kilobytes=2000)
