"""The tests of imgsvc, run by trial."""
