"""minimeta: meta-learning on task trees, taught in notebooks."""

__version__ = "0.1.0"
