"""The checks of exercises and problem sets: they call a student's function and say in words what is wrong.

`verdict` calls, compares and speaks; the other files hold inputs, targets and the names of mistakes, nothing else.
Nothing here knows a study or a figure: an assignment needs the method and its texts alone.
"""
