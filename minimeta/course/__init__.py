"""The checks of exercises and problem sets: they call a student's function and say in words what is wrong.

Nothing here knows a study or a figure: an assignment needs the method and its texts alone.
"""
