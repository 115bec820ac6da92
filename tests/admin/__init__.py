"""Tests of imgsvc-admin."""
