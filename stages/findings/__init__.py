"""What a run shows of itself: read from what it left on disk, whole or stopped half way."""
