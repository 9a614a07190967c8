"""The one trainer of teachers and students, and what it needs."""
