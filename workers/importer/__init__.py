"""Importing what other systems recorded: field histories and activities, as ordinary commands."""

from workers.importer.mapping import Mapping, load_mapping
from workers.importer.report import ImportSummary, Problem, Progress, UnusableInput, problem_file
from workers.importer.run import run_import
from workers.importer.share import Kind

__all__ = [
    "ImportSummary",
    "Kind",
    "Mapping",
    "Problem",
    "Progress",
    "UnusableInput",
    "load_mapping",
    "problem_file",
    "run_import",
]
