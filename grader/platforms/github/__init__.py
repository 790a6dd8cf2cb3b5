"""Grading in GitHub Actions, for GitHub Classroom too."""
