//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// isolated tells the process that does the work, in its environment, what it has
// of its own: "nothing", or a list of namespaces.
const isolated = "KVORUM_TORTURE_ISOLATED"

// What isolated lists.
const (
	ownMounts  = "mounts"
	ownNetwork = "network"
)

// stopPatience is how long the work may take to stop when it is told to.
const stopPatience = 30 * time.Second

// isolate runs this program once more as the first process of a process, a mount
// and a network namespace: when it ends, however that happens, the kernel ends
// everything that it started, unmounts what it mounted and removes its networks.
// It returns what the program should exit with. Without the rights or the
// programs for it, or where the cluster is another's, the program runs as it is;
// its members die with it all the same (process.go).
func isolate(ctx context.Context, args []string, alone bool) error {
	own, flags := []string{"nothing"}, uintptr(0)
	if alone && os.Geteuid() == 0 {
		own, flags = append(own, ownMounts), unix.CLONE_NEWNS|unix.CLONE_NEWPID
		_, noIP := exec.LookPath("ip")
		_, noTables := exec.LookPath("iptables")
		if noIP == nil && noTables == nil {
			own, flags = append(own, ownNetwork), flags|unix.CLONE_NEWNET
		}
	}
	cmd := worker(args, own, flags)
	err := cmd.Start()
	if err != nil && flags != 0 {
		say("no namespaces (%v)", err)
		cmd = worker(args, nil, 0)
		err = cmd.Start()
	}
	if err != nil {
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

// worker is this program once more, to do the work.
func worker(args, own []string, flags uintptr) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), isolated+"="+strings.Join(own, " ")+" ", "GOMEMLIMIT=off") // histories are large
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true, Cloneflags: flags}
	return cmd
}

// has reports whether this process has something of its own.
func has(what string) bool { return strings.Contains(os.Getenv(isolated), what) }

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
	if !has(ownNetwork) {
		return nil
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
