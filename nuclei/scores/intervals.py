"""How certain a score is: a bootstrap interval, and a paired test of two models."""

import numpy as np
from scipy import stats

AT_ONCE = 2**17
"""Values that are drawn at once, to need little memory for thousands of images."""


def bootstrap_interval(values, level=0.95, resamples=10_000, seed=0):
    """Percentile bootstrap interval of a mean (Efron, Annals of Statistics 7, 1979).

    Parameters
    ----------
    values : sequence of float
        One value per image: images, not pixels, are resampled with replacement.
    level : float
        Fraction of the resampled means inside the interval.
    resamples : int
        Number of resampled means.
    seed : int
        The same seed gives the same interval.

    Returns
    -------
    low, high : float
        Ends of the interval.

    Raises
    ------
    ValueError
        If there are no values.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0:
        raise ValueError("A bootstrap interval needs at least one value.")
    generator, means = np.random.default_rng(seed), np.empty(resamples)
    for some in np.array_split(means, -(-resamples * values.size // AT_ONCE)):
        drawn = generator.integers(values.size, size=(len(some), values.size))
        some[:] = values[drawn].mean(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def paired_test(first, second):
    """Test whether one model is better than another on the same images.

    Parameters
    ----------
    first, second : sequence of float
        A score of each model: one value per image, images in the same order.

    Returns
    -------
    mean, low, high : float
        Mean of `second` - `first` with its 95% bootstrap interval.
    p : float
        p-value of the two-sided Wilcoxon signed-rank test (Biometrics Bulletin 1(6), 1945), exact
        for few images without ties. It is 1 if all differences are 0.

    Raises
    ------
    ValueError
        If there are no values, or the numbers of values differ.
    """
    if len(first) != len(second):
        raise ValueError(f"The lengths must be equal, not {len(first)} and {len(second)}.")
    differences = np.subtract(second, first)
    low, high = bootstrap_interval(differences)
    p = stats.wilcoxon(differences).pvalue if differences.any() else 1.0
    return float(differences.mean()), low, high, float(p)


def format_p(p):
    """Write a p-value with three decimals; one that would be 0.000 is "<0.001"."""
    return "<0.001" if p < 0.0005 else f"{p:.3f}"
