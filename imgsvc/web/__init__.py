"""The HTTP interface. The only package that imports klein."""
