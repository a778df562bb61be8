"""Compare pooling with indices and unpooling with TensorFlow's scatter: at least 2 times faster.

    python benchmarks/pooling.py

The feature maps are those of a SegNet on a batch of 8 patches. Each time is that of a forward and a
backward pass through pooling and unpooling.
"""

import argparse
import time

import numpy as np
import tensorflow as tf  # noqa: TID251 - the comparison is with TensorFlow itself

from nuclei.errors import run_script
from nuclei.networks.pooling import MaxPooling2DWithIndices, MaxUnpooling2D
from nuclei.networks.segnet import STAGES

BATCH_SIZE, SIDE, WIDTH, REPEATS = 8, 256, 16, 15


def window_positions(x):
    """Pool and unpool with the layers of this repository."""
    pool, unpool = MaxPooling2DWithIndices(dtype=x.dtype.name), MaxUnpooling2D(dtype=x.dtype.name)
    return unpool(pool(x))


def scatter(x):
    """Pool and unpool with TensorFlow, using flat positions in the whole tensor."""
    maxima, positions = tf.nn.max_pool_with_argmax(x, 2, 2, "VALID", include_batch_in_index=True)
    updates = tf.reshape(maxima, [-1])
    flat = tf.scatter_nd(tf.reshape(positions, [-1, 1]), updates, [tf.size(x, tf.int64)])
    return tf.reshape(flat, tf.shape(x))


def differentiated(function):
    """Compile a function together with its gradient."""

    @tf.function
    def both(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return y, tape.gradient(y, x, output_gradients=upstream)

    return both


def milliseconds(functions, *arguments):
    """Median time of each function; they run alternately, so that a busy machine slows both."""
    times = []
    for _ in range(REPEATS + 1):
        row = []
        for function in functions:
            start = time.perf_counter()
            function(*arguments)  # on a CPU, TensorFlow returns when it is done
            row.append(1000 * (time.perf_counter() - start))
        times.append(row)
    return np.median(times[1:], axis=0)  # the first round compiles


def main():
    """Time both at every stage and print the ratio of the total times."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    rng = np.random.default_rng(0)
    for dtype in ("float32", "bfloat16"):
        total = np.zeros(2)
        for stage, (factor, _) in enumerate(STAGES):
            side = SIDE >> stage
            shape = (BATCH_SIZE, side, side, factor * WIDTH)
            x, upstream = (tf.cast(rng.normal(size=shape), dtype) for _ in range(2))
            pair = [differentiated(function) for function in (window_positions, scatter)]
            for ours, theirs in zip(*(function(x, upstream) for function in pair), strict=True):
                assert np.array_equal(ours, theirs)
            times = milliseconds(pair, x, upstream)
            total += times
            print(f"  {dtype} {shape}: {times[0]:.1f} ms, scatter {times[1]:.1f} ms")
        print(f"  {dtype}, all stages: {total[1] / total[0]:.1f} times faster  (at least 2)")


if __name__ == "__main__":
    run_script(main)
