"""Recording a service on this machine: what it answered becomes an upstream with routes, its secrets left out."""
