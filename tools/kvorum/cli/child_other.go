//go:build !linux

package cli

import (
	"io"
	"os/exec"
	"syscall"
)

func childAttributes(io.Reader) *syscall.SysProcAttr { return nil }

func signalChild(cmd *exec.Cmd, sig syscall.Signal) { _ = cmd.Process.Signal(sig) }
