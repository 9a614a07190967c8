"""What every room may use: errors, files, units, the codec."""
