"""HTTP and the command line, thin: parse, authorise, call, render."""
