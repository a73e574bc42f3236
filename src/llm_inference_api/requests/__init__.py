"""What is asked, answered and reported, free of wire, process and library."""
