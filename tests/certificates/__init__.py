"""Tests of imgsvc.certificates."""
