"""What the C library does with memory that a process gives back.

By default glibc hands a tensor of some megabytes back to the kernel at once. A training step frees
such tensors and asks for the same ones again, and each of their pages is then cleared and mapped
anew: a third of a step's time. So a process that computes keeps what it freed for its next step.
"""

import os

# In bytes. What is larger than the first is mapped by itself, and goes back when it is freed.
_LARGEST_KEPT, _MOST_KEPT = 1 << 27, 1 << 30


def environment() -> dict[str, str]:
    """What has a process keep freed memory, from its start on; what the user has set stays.

    Other C libraries do not look at it. No byte of a result depends on it.
    """
    wanted = {
        "MALLOC_MMAP_THRESHOLD_": str(_LARGEST_KEPT),
        "MALLOC_TRIM_THRESHOLD_": str(_MOST_KEPT),
    }
    return {name: os.environ.get(name, value) for name, value in wanted.items()}
