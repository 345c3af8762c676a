"""Runs to understanding: overlap, task relationships, schedules, MT-VGC, attention, and the report."""
