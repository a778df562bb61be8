"""All figures of the notebooks, in one style. Change colours and fonts in `style`."""
