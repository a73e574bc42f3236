"""The gRPC surface: servicers translate, and think nothing."""
