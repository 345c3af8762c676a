"""The clean split (sections 2.2 and 8.1): no test image in any train or validation set, and the proof of it."""
