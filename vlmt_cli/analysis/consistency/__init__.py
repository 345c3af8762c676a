"""Multi-task visual grounding consistency (MT-VGC, sections 5 and 8.8)."""
