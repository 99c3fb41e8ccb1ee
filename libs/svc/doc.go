// Package svc is what every service binary shares: the entry point with its
// signals and exit codes, the flags that all of them have, the log, the memory
// limit and the reading of secret files.
//
// It guarantees that a first SIGINT or SIGTERM cancels the context and nothing
// else, that a second one ends the process at once, and that a failure is one
// line on stderr. It knows nothing of what the services do, and it keeps no
// state but the process's default logger.
package svc
