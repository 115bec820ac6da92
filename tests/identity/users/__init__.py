"""Tests of imgsvc.identity.users."""
