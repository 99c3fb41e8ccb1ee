package dev

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// child is one process of the cluster, with a log and a pid file in the data
// folder.
type child struct {
	name string
	node bool // a storage node, else a fan-out replica
	dir  string
	argv []string

	cmd   *exec.Cmd // after start
	ended bool      // owned by cluster.run
}

// start starts the process and sends the child to exits when it has ended. The
// log of the run before is kept as .log.old.
func (c *child) start(exits chan<- *child) error {
	path := filepath.Join(c.dir, c.name+".log")
	os.Rename(path, path+".old") // there is none the first time
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	c.cmd = exec.Command(c.argv[0], c.argv[1:]...)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.cmd.SysProcAttr = processAttributes()
	started := make(chan error)
	go func() {
		// A child that dies with its parent dies with the thread that started
		// it, so this one stays until the child has ended.
		runtime.LockOSThread()
		err := c.cmd.Start()
		log.Close()
		started <- err
		if err == nil {
			c.cmd.Wait()
			exits <- c
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	return os.WriteFile(c.pidFile(), []byte(strconv.Itoa(c.cmd.Process.Pid)+"\n"), 0o600)
}

func (c *child) pidFile() string { return filepath.Join(c.dir, c.name+".pid") }

// running reports whether the child was started and has not ended.
func (c *child) running() bool { return c.cmd != nil && c.cmd.Process != nil && !c.ended }

// outcome is how an ended child ended.
func (c *child) outcome() string { return c.cmd.ProcessState.String() }

// command is the command line that starts the child again, for a shell.
func (c *child) command() string {
	quoted := make([]string, len(c.argv))
	for i, a := range c.argv {
		if strings.ContainsFunc(a, func(r rune) bool { return !strings.ContainsRune(plain, r) }) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		quoted[i] = a
	}
	return strings.Join(quoted, " ")
}

// plain are the characters that mean nothing to a shell.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,=+@%"

// lastWords are the last lines of the child's log.
func (c *child) lastWords() string {
	const lines = 8
	raw, err := os.ReadFile(filepath.Join(c.dir, c.name+".log"))
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
