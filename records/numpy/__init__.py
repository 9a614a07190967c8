"""Arrays of NumPy: archives, and folders of single arrays."""
