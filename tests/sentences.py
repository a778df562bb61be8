"""What an error message must be."""


def is_one_sentence(error, path):
    """Whether a message names the file and stays in one sentence."""
    message = str(error.value).replace(str(path), "FILE")
    return message.startswith("FILE ") and message.endswith(".") and ". " not in message
