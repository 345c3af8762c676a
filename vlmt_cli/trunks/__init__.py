"""ViLBERT: the trunk, its pre-training heads, and its weights in and out."""
