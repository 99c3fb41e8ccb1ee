package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// proc is one server process.
type proc struct {
	name string
	argv []string
	log  string
	// fanOut: it is no storage node.
	fanOut bool
	cmd    *exec.Cmd
	done   chan struct{}
}

// group is the servers of one system.
type group struct{ procs []*proc }

func (g *group) add(dir, name string, argv ...string) *proc {
	p := &proc{name: name, argv: argv, log: filepath.Join(dir, name+".log")}
	g.procs = append(g.procs, p)
	return p
}

func (g *group) all() *group { return g }

// nodes is the group without fan-outs.
func (g *group) nodes() *group {
	nodes := &group{}
	for _, p := range g.procs {
		if !p.fanOut {
			nodes.procs = append(nodes.procs, p)
		}
	}
	return nodes
}

func (g *group) start() error {
	for _, p := range g.procs {
		if err := p.start(); err != nil {
			return err
		}
	}
	return nil
}

// kill ends all with SIGKILL and waits for that.
func (g *group) kill() {
	for _, p := range g.procs {
		p.signal(syscall.SIGCONT)
		p.signal(syscall.SIGKILL)
	}
	for _, p := range g.procs {
		p.wait(time.Minute)
	}
}

func (p *proc) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, done := make(chan error), make(chan struct{})
	go func() {
		// A child that dies with its parent dies with the thread that started it.
		runtime.LockOSThread()
		err := cmd.Start()
		log.Close()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(done)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	p.cmd, p.done = cmd, done
	return nil
}

func (p *proc) signal(s os.Signal) {
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s) // it may have ended
	}
}

// wait waits for its end, for a while.
func (p *proc) wait(d time.Duration) (ended bool) {
	if p.done == nil {
		return true
	}
	select {
	case <-p.done:
		return true
	case <-time.After(d):
		return false
	}
}

// poll calls ok until it says so, for a while.
func poll(d time.Duration, what string, ok func() bool) error {
	for end := time.Now().Add(d); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("waited %v for %s", d, what)
		}
	}
	return nil
}
