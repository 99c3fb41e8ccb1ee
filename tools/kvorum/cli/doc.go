// Package cli is the commands of kvorum. Each is a file: its flags, its help and
// what it does. They go through libs/client alone, as any program of a user
// would.
//
// What a script relies on: results are on stdout and nothing else is; an error
// is one line on stderr; the exit code is one of the Exit constants; JSON has
// the forms of the protocol document, an object a line.
package cli
