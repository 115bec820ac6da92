"""Tests of the real daemon: its life, its workers, its crashes and the faults around it."""
