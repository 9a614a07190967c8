"""A run in object storage: worked on in a copy on this machine, and put there as it is finished."""
