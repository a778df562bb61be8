"""The page of `notebooks/try_it.ipynb`, for people who write no code.

`work` holds one image and its nuclei, `picture` draws them, and `report` makes the files to
download: none of these knows widgets. `controls` has what people move, `upload` takes files,
`fields` picks parts of slides, `view` shows the image, and `charts` the measures. `access` names
them for screen readers. `page` says what happens when something is moved.
"""
