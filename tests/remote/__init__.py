"""Tests of requests to servers that clients name."""
