"""Scores of predictions against annotations, in plain NumPy: pixels, nuclei and intervals.

These modules use neither Keras nor files. To add a score, add a function here and a column in
`nuclei/evaluation.py`.
"""

KEY_SCORES = {"dice": "Dice", "aji": "AJI", "pq": "PQ"}
"""The scores that stand for all where there is room for three, and their names."""
