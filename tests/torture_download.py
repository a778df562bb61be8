"""A download from another server: `python -m torture_download FOLDER SUMS URL...`."""

import sys
from pathlib import Path

from nuclei.data.download import download
from nuclei.errors import InputError


def main():
    """Download; return the exit code of `python -m nuclei`."""
    folder, sums, *urls = sys.argv[1:]
    try:
        download(folder, {url.rpartition("/")[2]: url for url in urls}, Path(sums))
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
