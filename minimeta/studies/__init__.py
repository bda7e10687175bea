"""What is trained and compared: methods, their settings, runs that can be stopped, the papers' figures, reports.

Nothing here draws: results leave as tables and text, and `show` makes figures of them.
"""
