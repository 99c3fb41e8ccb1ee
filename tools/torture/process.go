//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// member is a member of the cluster, which may be down.
type member interface {
	Name() string
	// Start starts it unless it runs.
	Start() error
	// Kill ends it as kill -9 does and waits for that.
	Kill()
	// Terminate asks it to stop in order, and kills it where it takes longer
	// than patience. It reports whether it stopped with success.
	Terminate(patience time.Duration) bool
	// Pause stops it where it is; Continue lets it go on.
	Pause()
	Continue()
	// Log is what it has printed.
	Log() string
}

// process is a member that is a process of this machine.
type process struct {
	name string
	path string
	args []string
	env  []string
	log  string
	// start starts a command where the process lives.
	start func(*exec.Cmd) error
	// ended is told when it ends by itself.
	ended func(p *process, how string)

	mu      sync.Mutex
	cmd     *exec.Cmd
	done    chan struct{}
	wanted  bool // to run
	stopped bool // by SIGSTOP
}

func (p *process) Name() string { return p.name }

func (p *process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	if p.running() {
		return nil
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(p.path, p.args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, append(append(os.Environ(), p.env...), "GOMEMLIMIT=") // they have a limit of their own
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.start(cmd); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	done := make(chan struct{})
	p.cmd, p.done, p.stopped = cmd, done, false
	go func() {
		_ = cmd.Wait() // how it ended is told below
		log.Close()
		close(done)
		p.mu.Lock()
		wanted := p.wanted
		p.mu.Unlock()
		if wanted {
			p.ended(p, cmd.ProcessState.String())
		}
	}()
	return nil
}

// running needs mu.
func (p *process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *process) Kill() { p.stop(syscall.SIGKILL, 0) }

func (p *process) Terminate(patience time.Duration) bool { return p.stop(syscall.SIGTERM, patience) }

func (p *process) stop(s syscall.Signal, patience time.Duration) bool {
	p.mu.Lock()
	p.wanted = false
	if !p.running() {
		p.mu.Unlock()
		return true
	}
	cmd, done := p.cmd, p.done
	_ = cmd.Process.Signal(s) // it may end at this moment
	p.mu.Unlock()
	if patience > 0 {
		select {
		case <-done:
			return cmd.ProcessState.Success()
		case <-time.After(patience):
			_ = cmd.Process.Kill() // as above
		}
	}
	<-done
	return false
}

func (p *process) Pause() { p.signal(syscall.SIGSTOP) }

func (p *process) Continue() { p.signal(syscall.SIGCONT) }

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		p.stopped = s == syscall.SIGSTOP
		_ = p.cmd.Process.Signal(s) // it may end at this moment
	}
}

func (p *process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// tail is the last thing that a member printed.
func tail(m member) string {
	lines := strings.Split(strings.TrimSpace(m.Log()), "\n")
	return lines[len(lines)-1]
}
