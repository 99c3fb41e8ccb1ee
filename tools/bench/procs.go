package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// proc is one server process.
type proc struct {
	name string
	argv []string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
}

// group is the servers of one system.
type group struct{ procs []*proc }

func (g *group) add(dir, name string, argv ...string) *proc {
	p := &proc{name: name, argv: argv, log: filepath.Join(dir, name+".log")}
	g.procs = append(g.procs, p)
	return p
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
		p.wait()
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

func (p *proc) wait() {
	if p.done != nil {
		<-p.done
	}
}

// usage is what the servers have used; Anonymous and Resident are bytes now.
type usage struct {
	CPUSeconds float64 `json:"cpuSeconds"`
	Written    int64   `json:"writtenBytes"`
	Resident   int64   `json:"residentBytes"`
	Anonymous  int64   `json:"anonymousBytes"`
}

func (u usage) since(before usage) usage {
	u.CPUSeconds -= before.CPUSeconds
	u.Written -= before.Written
	return u
}

func (g *group) usage() (sum usage) {
	for _, p := range g.procs {
		u := p.usage()
		sum.CPUSeconds += u.CPUSeconds
		sum.Written += u.Written
		sum.Resident += u.Resident
		sum.Anonymous += u.Anonymous
	}
	return sum
}

// clockTicks is what /proc counts CPU time in, a second; Linux has it fixed for
// user space.
const clockTicks = 100

func (p *proc) usage() (u usage) {
	dir := "/proc/" + strconv.Itoa(p.cmd.Process.Pid)
	if b, err := os.ReadFile(dir + "/stat"); err == nil {
		// The second field is a name in brackets, which may hold blanks.
		f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		user, _ := strconv.ParseFloat(f[11], 64)
		system, _ := strconv.ParseFloat(f[12], 64)
		u.CPUSeconds = (user + system) / clockTicks
	}
	u.Written = field(dir+"/io", "write_bytes:", 1)
	u.Resident = field(dir+"/smaps_rollup", "Rss:", 1024)
	u.Anonymous = field(dir+"/smaps_rollup", "Anonymous:", 1024)
	return u
}

// field is the number behind a name in a file of /proc, 0 where it is not there.
func field(path, name string, unit int64) int64 {
	b, _ := os.ReadFile(path)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n * unit
		}
	}
	return 0
}

// diskBytes is what a folder takes on the disk.
func diskBytes(dir string) (sum int64) {
	_ = filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += st.Blocks * 512
			}
		}
		return nil
	})
	return sum
}

// poll calls ok until it says so, for a while.
func poll(d time.Duration, what string, ok func() bool) error {
	for end := time.Now().Add(d); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("waited %v for %s", d, what)
		}
	}
	return nil
}
