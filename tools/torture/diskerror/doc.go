// Package diskerror holds the test of a whole cluster one of whose disks fails,
// on a file system of package powerfs. It is here because nothing outside of
// tools depends on a tool.
package diskerror
