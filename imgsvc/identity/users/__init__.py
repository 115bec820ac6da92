"""Mode `users`: the server has its own users, in a file."""
