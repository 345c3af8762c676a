"""G1, vocabulary-based VQA: which of the known answers is right? (equation 1)

VQA and Visual Genome QA share a head and a vocabulary; GQA has its own (section 3.2).
"""
