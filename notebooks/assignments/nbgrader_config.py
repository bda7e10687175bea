"""How nbgrader releases and grades the problem sets. The teacher's page is README.md beside this file."""

import os

from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbgrader.preprocessors import ClearHiddenTests, GetGrades

c = get_config()  # noqa: F821 (nbgrader defines it)

c.CourseDirectory.course_id = "minimeta"
c.Execute.timeout = 60  # seconds for a cell; the solutions need less than 10

# nbgrader takes anything on stderr for a failure, and a mere warning must not cost the points of a right answer.
os.environ["PYTHONWARNINGS"] = "ignore"


class LeaveOutHiddenTests(ClearHiddenTests):
    """Feedback without hidden tests: neither in the test cells nor in the traceback of what failed there."""

    def preprocess_cell(self, cell, resources, cell_index):  # noqa: ANN001, ANN201
        """Only test cells have some; what a student writes like their marks is left as it is."""
        about = cell.metadata.get("nbgrader", {})
        if not (about.get("grade") and about.get("locked")):
            return cell, resources
        for output in cell.get("outputs", []):
            if output.output_type == "error":  # its traceback shows the lines around the one that failed
                output.traceback = [
                    f"{output.ename}: this cell has no points. Its tests, the hidden ones too, end here."
                ]
        return super().preprocess_cell(cell, resources, cell_index)


c.GenerateFeedback.preprocessors = [GetGrades, LeaveOutHiddenTests, CSSHTMLHeaderPreprocessor]
