"""The page of `notebooks/try_it.ipynb`, for people who write no code.

`work` holds one image and its nuclei, `picture` draws them, and `report` makes the files to
download: none of these knows widgets. `controls` has what people move, `view` shows the image, and
`page` says what happens when something is moved.
"""
