"""Tests of imgsvc.identity."""
