"""Batches of augmented patches, drawn while a network trains."""

import collections
import concurrent.futures
import copy
import itertools

import keras
import numpy as np

from ..errors import InputError
from . import patches
from .augmentation import augment
from .stains import style

AHEAD = 8
"""Batches that are drawn before they are asked for."""


class AugmentedBatches(keras.utils.PyDataset):
    """An endless stream of augmented patches, cut from whole images or made from patches.

    Each patch starts at a position of `patches.cut` and is shifted, turned and scaled within its
    image, so that real tissue comes into view at its borders. An image that is no larger than a
    patch gives one patch, which is mirrored beyond the border. Batch `i` depends only on the seed
    and `i`, so a training that is resumed at step `i` gets the same batches as one that was never
    interrupted.

    Parameters
    ----------
    images : sequence of ndarray of uint8, shape (H, W, 3)
        RGB, each of any size.
    masks : sequence of ndarray of bool or int32, shape (H, W), or of float32, shape (H, W, C)
        Masks, labels, or C training targets from 0 to 1 at each pixel, as from `targets.targets`.
    batch_size : int
        Patches per batch.
    seed : int
    size, stride : int
        Side of a patch and step from one to the next, in pixels; see `patches.cut`.
    workers : int
        Threads that augment while the network trains.
    swap : float
        Share of the patches that get the stains of another image, drawn at random, before all else.
    **augmentation
        Passed on to `augmentation.augment`. By default patches are shifted by up to half a stride.

    Raises
    ------
    InputError
        If a batch has no patch; as in `patches.count`.
    """

    def __init__(
        self,
        images,
        masks,
        batch_size,
        seed,
        size=patches.SIZE,
        stride=patches.STRIDE,
        workers=2,
        swap=0.0,
        **augmentation,
    ):
        super().__init__(workers=workers, max_queue_size=AHEAD)
        if batch_size < 1:
            raise InputError("A batch has at least one patch: set BATCH_SIZE to 1 or more.")
        self.images, self.masks = images, masks
        self.batch_size, self.seed, self.first, self.size = batch_size, seed, 0, size
        self.augmentation = {"shift": stride / 2, **augmentation}
        self.swap = swap
        self.styles = [style(image) for image in images] if swap else []
        self.windows = [
            (number, corner)
            for number, image in enumerate(images)
            for corner in patches.corners(image.shape, size, stride)
        ]

    @property
    def steps_per_epoch(self):
        """Number of whole batches in one pass over all patches, at least 1."""
        return max(1, len(self.windows) // self.batch_size)

    @property
    def num_batches(self):
        """None: the stream is endless, so `fit()` ends epochs by `steps_per_epoch`."""

    def starting(self, first, seed=None):
        """The same stream for `fit()` from a later batch on, or that of another seed.

        Parameters
        ----------
        first : int
            Number of the first batch, such as the step at which a training is resumed.
        seed : int, optional

        Returns
        -------
        AugmentedBatches, or generator with several GPUs under TensorFlow
            There Keras would stop the threads of a `PyDataset` after each epoch, while TensorFlow
            goes on asking for batches, and the training would end with an error. On a CPU a
            generator makes TensorFlow use one core only, at times.
        """
        stream = copy.copy(self)
        stream.first, stream.seed = first, self.seed if seed is None else seed
        on_tensorflow = keras.backend.backend() == "tensorflow"
        several_gpus = on_tensorflow and len(keras.distribution.list_devices("gpu")) > 1
        return stream.ahead() if several_gpus else stream

    def ahead(self):
        """Generate the batches one after the other, drawn by threads before they are asked for."""
        with concurrent.futures.ThreadPoolExecutor(self.workers) as pool:
            drawn = collections.deque(pool.submit(self.__getitem__, i) for i in range(AHEAD))
            for index in itertools.count(AHEAD):
                drawn.append(pool.submit(self.__getitem__, index))
                yield drawn.popleft().result()

    def __getitem__(self, index):
        """Draw batch number `index`.

        Returns
        -------
        images : ndarray of float32, shape (B, size, size, 3)
            RGB, 0..255.
        masks : ndarray of float32, shape (B, size, size, C)
            1 inside nuclei, or the labels or targets; C is 1 for masks and labels.
        """
        step = self.first + index
        rng = np.random.default_rng([self.seed, step])
        variants = [
            augment(
                self.images[i],
                self.masks[i],
                rng,
                corner,
                self.size,
                styles=self._swapped(i, rng),
                **self.augmentation,
            )
            for i, corner in self._members(step)
        ]
        images, masks = (
            np.stack(column).astype(np.float32) for column in zip(*variants, strict=True)
        )
        return images, masks.reshape(*masks.shape[:3], -1)

    def _swapped(self, number, rng):
        """The style of an image and the one that its patch gets, if it gets another."""
        if not self.swap or rng.random() >= self.swap:
            return None
        both = self.styles[number], self.styles[rng.integers(len(self.styles))]
        return None if None in both else both

    def _members(self, step):
        """Image and corner of each patch in a batch.

        Each pass over the data contains every patch once; a batch may span two passes.
        """
        positions = step * self.batch_size + np.arange(self.batch_size)
        passes, within = np.divmod(positions, len(self.windows))
        order = {
            p: np.random.default_rng([self.seed, p, 1]).permutation(len(self.windows))
            for p in set(passes)
        }
        return [self.windows[order[p][i]] for p, i in zip(passes, within, strict=True)]
