"""Which members go into the file, at which precision, with which weight."""
