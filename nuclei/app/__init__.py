"""The page of `notebooks/try_it.ipynb`, for people who write no code.

`work` holds one image and its nuclei, `picture` draws them, `report` makes the files to download,
and `page` is the only file that knows widgets.
"""
