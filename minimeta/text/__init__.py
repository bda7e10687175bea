"""Languages as data: corpora, episodes, encoders, metrics, and the mini world that toy mode is made of.

Nothing here knows a paper, a method or a study: what is compared with what is said in `studies`.
"""
