"""Figures and widgets by theme: the data of each figure first, then its drawing.

Nothing here computes a result: it shows what the other wings have found.
"""
