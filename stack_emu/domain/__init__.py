"""What STACK does, one module for each family."""
