package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what servers have used up to now, together; the memory is what they
// have now. The Node figures are of the node that has most.
type usage struct {
	CPUSeconds    float64 `json:"cpuSeconds"`
	Written       int64   `json:"writtenBytes"`
	Resident      int64   `json:"residentBytes"`
	Anonymous     int64   `json:"anonymousBytes"`
	NodeResident  int64   `json:"nodeResidentBytes"`
	NodeAnonymous int64   `json:"nodeAnonymousBytes"`
}

func (u usage) since(before usage) usage {
	u.CPUSeconds -= before.CPUSeconds
	u.Written -= before.Written
	return u
}

func (g *group) usage() (sum usage) {
	for _, p := range g.procs {
		cpu, written, resident, anonymous := p.usage()
		sum.CPUSeconds += cpu
		sum.Written += written
		sum.Resident += resident
		sum.Anonymous += anonymous
		if !p.fanOut {
			sum.NodeResident = max(sum.NodeResident, resident)
			sum.NodeAnonymous = max(sum.NodeAnonymous, anonymous)
		}
	}
	return sum
}

func (p *proc) usage() (cpuSeconds float64, written, resident, anonymous int64) {
	pid := p.cmd.Process.Pid
	dir := "/proc/" + strconv.Itoa(pid)
	return cpuOf(pid), field(dir+"/io", "write_bytes:", 1),
		field(dir+"/smaps_rollup", "Rss:", 1024), field(dir+"/smaps_rollup", "Anonymous:", 1024)
}

// cpuOf is the CPU time of a process in seconds, 0 if it has ended. It asks the
// process's clock, to the nanosecond: /proc counts in hundredths of a second,
// which is too coarse for an idle server.
func cpuOf(pid int) float64 {
	const schedulerClock = 2 // CPUCLOCK_SCHED of clock_getcpuclockid(3)
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano()).Seconds()
}

func driverCPU() float64 { return cpuOf(os.Getpid()) }

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
