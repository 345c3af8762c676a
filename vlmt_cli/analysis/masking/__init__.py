"""What pre-training masks, in pictures (sections 3.1 and 8.2)."""
