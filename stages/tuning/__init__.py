"""What stage `tune` is made of: members with spaces, their trials as trainings, what is kept."""
