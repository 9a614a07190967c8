"""The stages of a run, their jobs and workers, and the workspace that they share."""
