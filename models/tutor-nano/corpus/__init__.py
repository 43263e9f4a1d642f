"""Corpus of tutor-nano: families of questions, worked answers and lessons in Spanish and English."""
