"""How nbgrader releases and grades the problem sets. The teacher's page is README.md beside this file."""

import os

c = get_config()  # noqa: F821 (nbgrader defines it)

c.CourseDirectory.course_id = "minimeta"
c.Execute.timeout = 60  # seconds for a cell; the solutions need less than 10

# nbgrader takes anything on stderr for a failure, and a mere warning must not cost the points of a right answer.
os.environ["PYTHONWARNINGS"] = "ignore"
