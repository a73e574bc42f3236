"""gRPC servicers, one package per wire format. They translate messages and contain no other logic."""
