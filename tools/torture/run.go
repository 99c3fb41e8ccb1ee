//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// options are what the command line says.
type options struct {
	time, phase time.Duration
	faults      []string
	seed        uint64
	rate        int
	bin, dir    string
	disk        string // power or host
	reportFile  string
	mutant      string
	containers  bool
}

// torture is one run.
type torture struct {
	options
	c      *cluster
	meter  *meter
	report *report
	rng    *rand.Rand
	queue  []kind // what comes next
	kinds  []kind // what is possible
	beside []kind // and may come beside others

	mu      sync.Mutex
	failure error
	abort   context.CancelFunc
}

// settle is how long nothing may have changed before a phase's history is
// closed: longer than a server keeps a request whose client has gone.
const settle = 5 * time.Second

// work founds a cluster and tortures it. The error is the verdict.
func (t *torture) work(ctx context.Context) error {
	ctx, t.abort = context.WithCancel(ctx)
	defer t.abort()
	t.meter, t.rng = newMeter(), rand.New(rand.NewPCG(t.seed, 0))
	t.report = newReport(t.seed)
	if err := t.found(ctx); err != nil {
		return err
	}
	defer t.c.close()
	deadline := time.Now().Add(t.time)
	for phase := 1; time.Now().Before(deadline) && ctx.Err() == nil; phase++ {
		end := time.Now().Add(min(t.phase, time.Until(deadline)))
		if err := t.onePhase(ctx, phase, end); err != nil {
			t.fail("%v", err)
		}
	}
	t.report.end(t.meter.snapshot(), t.c)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failure
}

// found starts the cluster on the networks and disks that are possible here.
func (t *torture) found(ctx context.Context) error {
	c, err := t.cluster()
	if err != nil {
		return err
	}
	t.c, c.fail, c.say = c, t.fail, say
	if err := t.choose(); err != nil {
		return err
	}
	if err := c.start(ctx); err != nil {
		c.close()
		return fmt.Errorf("the cluster does not start: %w", err)
	}
	return nil
}

// cluster makes the members.
func (t *torture) cluster() (*cluster, error) {
	if t.containers {
		return newStack(t.dir, t.bin)
	}
	var nw *network
	newDisk := newPlainDisk
	var err error
	if has(ownMounts) {
		if err := settleIn(); err != nil {
			return nil, err
		}
		if _, err := os.Stat("/dev/fuse"); err == nil && t.disk == "power" {
			newDisk = newPowerDisk
		}
	}
	if has(ownNetwork) {
		if nw, err = newNetwork(); err != nil {
			return nil, err
		}
	}
	return newCluster(t.dir, t.bin, nw, newDisk, "KVORUM_MUTANT="+t.mutant)
}

// choose finds the kinds of faults that are wanted and possible.
func (t *torture) choose() error {
	for _, name := range t.faults {
		if !slices.ContainsFunc(kinds, func(k kind) bool { return k.name == name }) {
			return fmt.Errorf("--faults: there is no %q", name)
		}
	}
	var not []string
	for _, k := range kinds {
		switch {
		case len(t.faults) > 0 && !slices.Contains(t.faults, k.name):
		case !t.c.can(k) && k.needs&needsStack != 0 && len(t.faults) == 0:
		case !t.c.can(k):
			not = append(not, k.name)
		default:
			t.kinds = append(t.kinds, k)
		}
		if !k.alone && t.c.can(k) {
			t.beside = append(t.beside, k)
		}
	}
	if len(not) > 0 {
		say("not possible here (partitions need root, ip and iptables, broken disks root and /dev/fuse, disconnection containers): %s", strings.Join(not, ", "))
	}
	if len(t.kinds) == 0 {
		return errors.New("no fault is possible here")
	}
	return nil
}

// next draws a kind of fault: each once, in some order, then any.
func (t *torture) next() kind {
	if t.queue == nil {
		t.queue = slices.Clone(t.kinds)
		t.rng.Shuffle(len(t.queue), func(i, j int) { t.queue[i], t.queue[j] = t.queue[j], t.queue[i] })
	}
	if len(t.queue) == 0 {
		return t.kinds[t.rng.IntN(len(t.kinds))]
	}
	k := t.queue[0]
	t.queue = t.queue[1:]
	return k
}

// onePhase lets clients work while faults come and go until a time, closes the
// history and judges it. A failure leaves the history in the run's folder.
func (t *torture) onePhase(ctx context.Context, phase int, until time.Time) error {
	say("phase %d", phase)
	rec := newRecorder(t.meter)
	col, err := newCollector(ctx, t.c.admin)
	if err != nil {
		return fmt.Errorf("reading the store before the phase: %w", err)
	}
	l, err := startLoad(t.c, rec, col, phase, t.rate, t.seed)
	if err != nil {
		return err
	}
	for n := 0; (n == 0 || time.Now().Before(until)) && ctx.Err() == nil && err == nil; n++ {
		err = t.oneFault(ctx)
	}
	l.stop()
	l.writing.Wait()
	var end *kvpb.RangeResponse
	if err == nil && t.c.alive() {
		end, err = t.closeHistory(l)
	}
	if end != nil {
		l.watches.finish(lastOf(col, end))
	} else {
		l.watches.finish(api.Position{}) // it is over
	}
	l.watching.Wait()
	if err == nil && t.c.alive() {
		err = judge(l, end)
	}
	if err == nil && t.c.alive() {
		t.report.judged(l)
		return nil
	}
	dump(filepath.Join(t.dir, fmt.Sprintf("history-phase-%d", phase)), rec, col)
	return err
}

// oneFault injects a fault, heals and waits until the cluster is well again.
func (t *torture) oneFault(ctx context.Context) error {
	k := t.next()
	var mu sync.Mutex
	var notes []string
	f := &fault{ctx: ctx, c: t.c, any: t.beside, rng: rand.New(rand.NewPCG(t.rng.Uint64(), 1)), note: func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		notes = append(notes, fmt.Sprintf(format, args...))
	}}
	f.hold(500*time.Millisecond, 2500*time.Millisecond)
	w := t.meter.open()
	begin := time.Now()
	err := k.strike(f)
	if healed := t.c.heal(); err == nil {
		err = healed
	}
	if err == nil && ctx.Err() == nil {
		if unwell := t.c.healthy(ctx); unwell != nil && ctx.Err() == nil {
			err = unwell
		}
	}
	n := t.meter.close(w)
	say("  %-16s %5.1f s, without writes %4.1f s, without reads %4.1f s, %d unknown: %s", k.name, time.Since(begin).Seconds(),
		n.LongestNoWrite.Seconds(), n.LongestNoRead.Seconds(), n.UnknownWrites, strings.Join(notes, "; "))
	t.report.fault(k.name, time.Since(begin), n, notes)
	if err != nil {
		return fmt.Errorf("%s: %w", k.name, err)
	}
	return nil
}

// closeHistory waits until nothing is under way any more: no lease is left that
// could run out, and nothing has changed for a while. It returns the store then,
// with all nodes agreeing about it.
func (t *torture) closeHistory(l *load) (end *kvpb.RangeResponse, err error) {
	ctx := context.Background()
	if err := t.c.healthy(ctx); err != nil {
		return nil, err
	}
	changed, last := time.Now(), int64(0)
	err = t.c.until(ctx, "the end of all leases", func() error {
		now, err := t.c.admin.Range(ctx, allKeys)
		if err != nil {
			return err
		}
		if now.Revision != last {
			changed, last = time.Now(), now.Revision
		}
		for _, kv := range now.KVs {
			if kv.Lease != 0 {
				return fmt.Errorf("%s still has one", kv.Key)
			}
		}
		if time.Since(changed) < settle {
			return fmt.Errorf("revision %d is new", last)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := t.c.agree(ctx); err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, healPatience)
	defer cancel()
	return l.col.finish(bounded)
}

// fail keeps the first failure and ends the run.
func (t *torture) fail(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failure == nil {
		t.failure = fmt.Errorf(format, args...)
		say("FAILED: %v", t.failure)
	}
	t.c.dead.Store(true)
	t.abort()
}

// say prints a line of the run's progress.
func say(format string, args ...any) {
	fmt.Printf("%s %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}
