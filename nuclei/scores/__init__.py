"""Scores of predictions against annotations, in plain NumPy: pixels, nuclei and intervals.

These modules use neither Keras nor files. To add a score, add a function here and a column in
`nuclei/evaluation.py`.
"""
