"""Read `samples.csv`, which says of images what their names cannot."""

import csv
import io
import math
import re
import unicodedata
from dataclasses import replace

from ..errors import InputError, reason
from ..images.resolution import is_plausible

NAME = "samples.csv"

MEANT = re.compile(r"samples\.(csv|(csv\.)?(txt|tsv|xlsx?|ods|numbers))")
"""What a table is called, in small letters, that was saved for `NAME` or instead of it."""

COLUMNS = ("name", "patient", "group", "split", "mpp", "classes")

ALL = "*"
"""In the column `name`: what this line says holds for all images of which no line says else."""


def find(folder):
    """Find the table of a folder, in small or capital letters.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Path or None

    Raises
    ------
    InputError
        If there is none, but one of another kind; or if there are two.
    """
    names = sorted(path.name for path in folder.glob("*") if MEANT.fullmatch(path.name.lower()))
    tables = [name for name in names if name.lower() == NAME]
    if names and not tables:
        raise InputError(
            f"{folder / names[0]} is not read: save it as CSV with the name {NAME}, or rename it "
            "if it is something else."
        )
    if len(tables) > 1:
        raise InputError(f"{folder} has {tables[0]} and {tables[1]}: keep one.")
    return folder / tables[0] if tables else None


def apply(path, entries, splits):
    """Add what a table says to the images that it names.

    Parameters
    ----------
    path : Path
        Comma, semicolon or tab between columns; the first line names them, out of `COLUMNS`. Only
        `name` is needed, with or without the suffix of the file, or `ALL`. Empty cells and rows say
        nothing.
    entries : list of folder.Entry
    splits : dict of str to str
        The words for splits, in small letters.

    Returns
    -------
    entries : list of folder.Entry
    problems : list of str
        A sentence for each line that cannot be right.

    Raises
    ------
    InputError
        If the file cannot be read, or its columns are not those of `COLUMNS`.
    """
    named = _places(entries)
    entries, problems, seen = list(entries), [], set()
    for number, row in sorted(_rows(path), key=lambda one: one[1]["name"] == ALL):
        here, name = f"{path}, line {number}", row["name"]
        # Names that were copied from elsewhere may have a folder before them.
        wanted = name if key(name) in named else re.split(r"[/\\]", name)[-1]
        places = range(len(entries)) if name == ALL else named.get(key(wanted), [])
        if not places:
            problems.append(f"{here}: there is no image {name!r}: correct the name or the line.")
            continue
        if name != ALL and len(places) > 1:
            names = " or ".join(entries[place].name for place in places)
            problems.append(f"{here}: {name!r} is the name of several images: write {names}.")
            continue
        if (line := (name == ALL, *places)) in seen:
            problems.append(f"{here}: {name} is there twice: keep one line.")
        seen.add(line)
        try:
            for place in places:
                entries[place] = _with(entries[place], row, splits)
        except ValueError as error:
            problems.append(f"{here}: {error}")
    return entries, problems


def key(name):
    """How names are compared: as file systems do that ignore case or store accents apart."""
    return unicodedata.normalize("NFC", name).casefold()


def _places(entries):
    """For the key of each name the places of entries that it may mean; their own come first."""
    places = {}
    for place, entry in enumerate(entries):
        for name in {key(entry.image.name), key(entry.image.stem)}:
            places.setdefault(name, []).append(place)
    return places | {key(entry.name): [place] for place, entry in enumerate(entries)}


def _rows(path):
    """Each line as its number in the file and its cells by column."""
    try:
        yield from _parsed(path, path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read ({reason(error)}): save it as CSV in UTF-8."
        ) from None
    except csv.Error as error:
        raise InputError(
            f"{path} has a cell that begins but does not end with a quotation mark "
            f"({reason(error)}): close or remove it."
        ) from None


def _parsed(path, text):
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    form = {"delimiter": delimiter, "skipinitialspace": True, "strict": True}
    text = re.sub(r'" +(?=[,;\t\r\n]|$)', '"', text)  # csv itself skips blanks before a mark
    reader = csv.DictReader(io.StringIO(text), **form)
    columns = [(name or "").strip().lower() for name in reader.fieldnames or ()]
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise InputError(
            f"{path} has the column {unknown[0]!r}: name the columns {', '.join(COLUMNS)} and "
            "remove others."
        )
    if twice := [name for name in COLUMNS if columns.count(name) > 1]:
        raise InputError(f"{path} has the column {twice[0]!r} twice: remove one.")
    if "name" not in columns:
        raise InputError(f"{path} has no column name: add it, with the names of the images.")
    reader.fieldnames = columns
    for row in reader:
        if any(cell.strip() for cell in row.pop(None, ())):
            raise InputError(
                f"{path}, line {reader.line_num}, has more cells than columns: write a cell with a "
                f"{delimiter!r} in quotation marks, or correct the line."
            )
        cells = {column: (value or "").strip() for column, value in row.items()}
        if any(cells.values()):  # spreadsheets leave empty rows
            yield reader.line_num, cells


def _with(entry, row, splits):
    """An entry with the cells of a row; a ValueError says what is wrong."""
    change = {key: row[key] for key in ("patient", "group") if row.get(key)}
    if word := row.get("split"):
        change["split"] = splits.get(word.lower())
        if change["split"] is None:
            raise ValueError(f"there is no split {word!r}: write train, val or test.")
        if row["name"] != ALL and entry.split not in (None, change["split"]):
            raise ValueError(
                f"{entry.name} is in {change['split']} here but in the folder {entry.split}: keep "
                "one of both."
            )
    if text := row.get("mpp"):
        try:
            change["mpp"] = float(text.replace(",", "."))
        except ValueError:
            change["mpp"] = math.nan
        if not is_plausible(change["mpp"]):
            raise ValueError(
                f"mpp {text!r} is no resolution: write micrometres per pixel, such as 0.25."
            )
    if text := row.get("classes"):
        change["classes"] = tuple(name.strip() for name in text.split("|") if name.strip())
    if row["name"] == ALL:
        if entry.outlines and entry.outlines.suffix.lower() == ".xml":
            change.pop("classes", None)  # XML has none: whoever chooses them speaks of the others
        change = {key: value for key, value in change.items() if getattr(entry, key) is None}
    return replace(entry, **change)
