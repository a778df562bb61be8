"""Commands of `python -m nuclei` that are longer than a page: their arguments and their output."""
