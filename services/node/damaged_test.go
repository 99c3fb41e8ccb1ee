package node

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/badgerstore"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/natsbus"
)

// A read that meets damaged data stops the node; one that merely fails does not.
func TestDamagedDataStopsTheNode(t *testing.T) {
	for _, c := range []struct {
		err   error
		stops bool
	}{
		{fmt.Errorf("reading: %w", store.ErrCorrupt), true},
		{store.ErrDiscarded, false},
		{api.Errorf(api.KindNotFound, "no key"), false},
		{nil, false},
	} {
		stopped := false
		out := &responder{stats: natsbus.NewStats(endpoints()), term: func() uint64 { return 1 }, damaged: func(error) { stopped = true }}
		r := &readRequest{request: &request{msg: &nats.Msg{}, endpoint: "get", out: out},
			serve: func(*mvcc.Published) (answer, error) { return answer{}, c.err }}
		r.run(nil)
		if stopped != c.stops {
			t.Errorf("%v: stopped is %v", c.err, stopped)
		}
	}
}

// A node whose data is damaged stops before it notes that, which a failing disk
// may take long to do.
func TestStopsBeforeItNotes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want []string
	}{
		{store.ErrCorrupt, []string{"stop", "note"}},
		{syscall.EIO, []string{"stop"}},
		{nil, []string{"stop"}},
	} {
		var happened []string
		stop := func(error) { happened = append(happened, "stop") }
		note := func(string) error { happened = append(happened, "note"); return syscall.EIO }
		stopThenNote(stop, note, slog.New(slog.DiscardHandler))(c.err)
		if !slices.Equal(happened, c.want) {
			t.Errorf("%v: %v, want %v", c.err, happened, c.want)
		}
	}
}

// Which errors make a node rebuild itself, and which merely end it.
func TestDamageIsTold(t *testing.T) {
	for _, c := range []struct {
		err          error
		damage, disk bool
	}{
		{fmt.Errorf("applying: %w", store.ErrCorrupt), true, false},
		{fmt.Errorf("%w: its digest", errDiverged), true, false},
		{fmt.Errorf("flush: %w", syscall.EIO), false, true},
		{errors.New("Badger: input/output error"), false, true},
		{fmt.Errorf("write: %w", syscall.ENOSPC), false, false},
		{fmt.Errorf("%w: dir", badgerstore.ErrInUse), false, false},
	} {
		if isDamage(c.err) != c.damage || isDiskError(c.err) != c.disk {
			t.Errorf("%v: damage %v, disk %v", c.err, isDamage(c.err), isDiskError(c.err))
		}
	}
}

// A node is outvoted by a majority of all that has one other digest, and by
// nothing less.
func TestDiffer(t *testing.T) {
	for name, c := range map[string]struct {
		digests  map[uint64]string
		nodes    int
		others   int
		majority bool
	}{
		"all agree":            {map[uint64]string{2: "a", 3: "a"}, 3, 0, false},
		"one other of three":   {map[uint64]string{2: "b", 3: "a"}, 3, 1, false},
		"both others of three": {map[uint64]string{2: "b", 3: "b"}, 3, 2, true},
		"each has another":     {map[uint64]string{2: "b", 3: "c"}, 3, 2, false},
		"one does not answer":  {map[uint64]string{2: "b"}, 3, 1, false},
		"two of five":          {map[uint64]string{2: "b", 3: "b"}, 5, 2, false},
		"three of five":        {map[uint64]string{2: "b", 3: "b", 4: "b", 5: "a"}, 5, 3, true},
	} {
		if others, majority := differ("a", c.digests, c.nodes); len(others) != c.others || majority != c.majority {
			t.Errorf("%s: %v %v", name, others, majority)
		}
	}
}

// The nodes scrub one after another, each once in an interval.
func TestScrubsTakeTurns(t *testing.T) {
	const interval = time.Hour
	start := time.Unix(1_700_000_000, 0)
	at := map[time.Duration]bool{}
	for i := range 3 {
		turn := interval * time.Duration(i) / 3
		first := untilTurn(start, interval, turn)
		if first <= 0 || first > interval || untilTurn(start.Add(first), interval, turn) != interval {
			t.Errorf("node %d waits %s", i, first)
		}
		at[time.Duration(start.Add(first).UnixNano())%interval] = true
	}
	if len(at) != 3 {
		t.Errorf("they scrub at %v", at)
	}
}

// A node with nobody to copy its data from says where it is and what to do.
func TestNoSource(t *testing.T) {
	dir := t.TempDir()
	d := &damaged{cfg: &Config{DataDir: dir, Peers: make([]Peer, 3)}, reason: store.ErrCorrupt}
	err := d.noSource("nobody answers")
	for _, says := range []string{dir, "nobody answers", "start the other members", "left as they are", "checksum"} {
		if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q is not in: %v", says, err)
		}
	}
	if strings.Contains(err.Error(), "remove") {
		t.Errorf("nothing is noted, but: %v", err)
	}
}
