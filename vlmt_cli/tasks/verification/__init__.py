"""G4, multi-modal verification: is the statement true of the images? (equation 4)

NLVR2's two image-statement pairs are encoded apart and their representations concatenated; SNLI-VE has one image,
and "a separate classifier of the same form" (section 3.2). The authors' code trains both with a binary
cross-entropy a class where the paper says softmax, and SNLI-VE with a single linear layer.
"""
