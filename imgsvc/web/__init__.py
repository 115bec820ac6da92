"""HTTP: requests in, answers out. The only package that imports klein."""
