"""The optimizer and its learning rate schedule."""

import keras


def adamw(steps, learning_rate=2e-3, warmup=0.05, weight_decay=1e-4, ema=0.995):
    """AdamW with a warm-up, cosine decay to zero, and an average of the weights.

    Parameters
    ----------
    steps : int
        Batches in the whole training.
    learning_rate : float
        Peak learning rate, after the warm-up.
    warmup : float
        Fraction of `steps` over which the learning rate rises linearly from zero.
    weight_decay : float
    ema : float
        Momentum of the exponential moving average of the weights. Validation and the final model
        use the average, because the last steps jitter around a better point than any they reach.

    Returns
    -------
    keras.optimizers.AdamW
    """
    # In a short training, limit the average to about the last fifth of the steps.
    ema = min(ema, 1 - 5 / max(steps, 10))
    rising = max(1, round(steps * warmup))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=float(max(1, steps - rising)),
        warmup_target=learning_rate,
        warmup_steps=float(rising),
    )
    return keras.optimizers.AdamW(
        schedule, weight_decay=weight_decay, use_ema=True, ema_momentum=ema
    )
