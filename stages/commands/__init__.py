"""What is asked for: words and overrides of a command line, and how they are answered."""
