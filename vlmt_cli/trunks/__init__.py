"""The trunks behind one protocol, the pre-training heads, and ViLBERT's weights in and out."""
