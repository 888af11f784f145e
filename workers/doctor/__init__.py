"""What is wrong with an installation, in words, and what to do about it."""

from workers.doctor.examining import examine
from workers.doctor.finding import Examination, Finding

__all__ = ["Examination", "Finding", "examine"]
