"""Write a trained model in a format that other programs open, and check it against Keras."""
