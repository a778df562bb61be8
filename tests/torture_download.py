"""A download from another server: `python -m torture_download FOLDER SUMS URL...`."""

import sys
from pathlib import Path

from nuclei.data.download import download
from nuclei.errors import run_script


def main():
    """Download what the command line names."""
    folder, sums, *urls = sys.argv[1:]
    download(folder, {url.rpartition("/")[2]: url for url in urls}, Path(sums))


if __name__ == "__main__":
    run_script(main)
