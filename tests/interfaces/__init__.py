"""Tests of the interfaces between the packages of the server."""
