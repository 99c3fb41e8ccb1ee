//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// isolated marks, in its environment, the process that does the work.
const isolated = "KVORUM_TORTURE_ISOLATED"

// stopPatience is how long the work may take to stop when it is told to.
const stopPatience = 30 * time.Second

// isolate runs this program once more as the first process of a process, a mount
// and a network namespace: when it ends, however that happens, the kernel ends
// everything that it started, unmounts what it mounted and removes its networks.
// It returns what the program should exit with. Without the rights for it, the
// program runs as it is; its members die with it all the same (process.go).
func isolate(ctx context.Context, args []string) error {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), isolated+"=1", "GOMEMLIMIT=off") // histories are large
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("isolating the torture: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return failed(err)
	case <-ctx.Done():
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended meanwhile
	select {
	case err := <-done:
		return failed(err)
	case <-time.After(stopPatience):
		_ = cmd.Process.Kill() // as above
		return errors.Join(errors.New("the torture did not stop when it was told to"), <-done)
	}
}

// failed is the error of a run that has printed its own.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("not passed (%w)", err)
}

// settleIn makes the namespaces usable that isolate made: nothing that is mounted
// here is seen outside, /proc shows the processes of this namespace, and the
// loopback interface is up.
func settleIn() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	return command("ip", "link", "set", "lo", "up")
}

// command runs a program whose output matters only where it fails.
func command(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd, err, out)
	}
	return nil
}
