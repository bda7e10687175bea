"""The checks of exercises and problem sets: content, told through the one `verdict` on what a student's function did.

Nothing here knows a study or a figure: an assignment needs the method and its texts alone.
"""
