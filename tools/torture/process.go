//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// process is a member of the cluster, which may be down.
type process struct {
	name string
	path string
	args []string
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

// Start starts it unless it runs.
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
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, append(os.Environ(), "GOMEMLIMIT=") // they have a limit of their own
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

// Running reports whether it was started and has not ended.
func (p *process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running()
}

// Kill ends it as kill -9 does and waits for that.
func (p *process) Kill() { p.stop(syscall.SIGKILL, 0) }

// Terminate asks it to stop in order, and kills it where it takes longer than
// patience. It reports whether it stopped with success.
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

// Pause stops it where it is; Continue lets it go on.
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

// tail is the last thing that it printed.
func (p *process) tail() string {
	b, err := os.ReadFile(filepath.Clean(p.log))
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(lines[len(lines)-1])
}
