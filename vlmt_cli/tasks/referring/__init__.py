"""G3, referring expressions: which region does the text mean? (equation 3)

One head for phrases, questions and dialogues. RefCOCO* ranks region proposals, Visual7W and GuessWhat the given
candidates.
"""
