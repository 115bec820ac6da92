"""Tests of imgsvc.notifications."""
