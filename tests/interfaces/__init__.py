"""Tests of the interfaces that the packages of the server have with each other."""
