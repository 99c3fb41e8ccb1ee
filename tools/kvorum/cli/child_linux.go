package cli

import (
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttributes has the command end with this process, however that ends, and
// gives it a process group of its own, so that a signal reaches what it started
// as well. At a terminal it stays in the group that may read from it.
func childAttributes(stdin io.Reader) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: !terminal(stdin), Pdeathsig: syscall.SIGTERM}
}

func terminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// signalChild signals the command, and its group where it has its own. Of a
// process that has ended nothing is expected.
func signalChild(cmd *exec.Cmd, sig syscall.Signal) {
	pid := cmd.Process.Pid
	if cmd.SysProcAttr.Setpgid {
		pid = -pid
	}
	_ = syscall.Kill(pid, sig)
}
