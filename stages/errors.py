"""What a stage ends with where it is not the input that is wrong."""


class JobsFailed(Exception):
    """Some processes of a stage failed; the others finished."""
