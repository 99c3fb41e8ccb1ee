package dev

import "syscall"

// processAttributes keep a terminal's signals from the children, which dev
// passes on itself, and end them when dev dies without doing so.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
