// Included before the source of ggml-rpc-server.
//
// It has no handler of SIGPIPE, so that a client which leaves while it is answered would end it.
#include <csignal>

__attribute__((constructor)) static void ignore_lost_clients() { std::signal(SIGPIPE, SIG_IGN); }
