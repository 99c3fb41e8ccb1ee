//go:build !linux

package dev

import "syscall"

// processAttributes keep a terminal's signals from the children, which dev
// passes on itself. Where dev is killed they go on: only Linux can end them.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
