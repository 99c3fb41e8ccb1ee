//go:build linux

package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/check"
)

// A member that ends by itself is told of, one that was killed is not, and a
// paused one can be killed.
func TestProcess(t *testing.T) {
	ended := make(chan string, 1)
	p := &process{name: "p", path: "/bin/sh", args: []string{"-c", "echo begun; read x"}, log: filepath.Join(t.TempDir(), "log"),
		start: (*exec.Cmd).Start, ended: func(_ *process, how string) { ended <- how }}
	if err := p.Start(); err != nil { // its input is empty: it ends
		t.Fatal(err)
	}
	if how := <-ended; how != "exit status 1" {
		t.Errorf("it ended with %q", how)
	}
	if tail(p) != "begun" {
		t.Errorf("its log ends with %q", tail(p))
	}
	p.args = []string{"-c", "sleep 1000"}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.Pause()
	p.Kill()
	select {
	case how := <-ended:
		t.Errorf("it is said to have ended by itself: %s", how)
	default:
	}
}

// What a client could not learn is unknown, a refusal is an error, and a read
// without an answer is nothing at all.
func TestRecord(t *testing.T) {
	r := newRecorder(newMeter())
	w := r.meter.open()
	put := check.Op{Request: &kvpb.PutRequest{Key: []byte("k")}, Response: &kvpb.PutResponse{Revision: 2}}
	r.op(put, nil, false)
	r.op(put, api.Errorf(api.KindTimeout, "no answer"), true)
	r.op(put, api.Errorf(api.KindNoLeader, "none"), false)
	r.op(check.Op{Request: &kvpb.RangeRequest{Key: []byte("k")}}, errors.New("no answer"), true)
	r.op(check.Op{Request: &kvpb.RangeRequest{Key: []byte("k")}, Response: &kvpb.RangeResponse{}}, nil, false)
	if len(r.ops) != 4 || r.ops[0].Return == check.Unknown || r.ops[1].Return != check.Unknown || r.ops[1].Response != nil || r.ops[2].Err == nil {
		t.Errorf("recorded: %+v", r.ops)
	}
	n := r.meter.close(w)
	if n.Writes != 1 || n.Reads != 1 || n.UnknownWrites != 1 || n.Errors["timeout"] != 1 || n.Errors["no_leader"] != 1 || n.Errors["other"] != 1 {
		t.Errorf("counted: %+v", n)
	}
}

func TestUnknownOutcome(t *testing.T) {
	for err, want := range map[error]bool{
		nil: false, errors.New("cut off"): true,
		api.Errorf(api.KindTimeout, ""): true, api.Errorf(api.KindNoLeader, ""): false, api.Errorf(api.KindCompareFailed, ""): false,
	} {
		if got := unknownOutcome(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// A store that is not what its history says is found.
func TestSameStore(t *testing.T) {
	kv := func(key, value string, revision int64) *kvpb.KeyValue {
		return &kvpb.KeyValue{Key: []byte(key), Value: []byte(value), CreateRevision: revision, ModRevision: revision, Version: 1}
	}
	col := &collector{
		start: &kvpb.RangeResponse{Revision: 3, Kvs: []*kvpb.KeyValue{kv("a", "1", 3), kv("b", "1", 2), kv("c", "1", 3)}},
		events: []*kvpb.Event{
			{Type: kvpb.Event_DELETE, Kv: &kvpb.KeyValue{Key: []byte("a"), ModRevision: 4}, Last: true},
			{Kv: kv("d", "2", 5), Last: true},
		},
	}
	right := []*kvpb.KeyValue{kv("b", "1", 2), kv("c", "1", 3), kv("d", "2", 5)}
	if err := sameStore(col, &kvpb.RangeResponse{Revision: 5, Kvs: right}); err != nil {
		t.Error(err)
	}
	for what, wrong := range map[string][]*kvpb.KeyValue{
		"lost":       right[:2],
		"not gone":   append([]*kvpb.KeyValue{kv("a", "1", 3)}, right...),
		"other data": {right[0], right[1], kv("d", "3", 5)},
	} {
		if sameStore(col, &kvpb.RangeResponse{Revision: 5, Kvs: wrong}) == nil {
			t.Errorf("%s: not found", what)
		}
	}
	want := []*kvpb.Event{{Kv: kv("b", "1", 2), Last: true}, {Kv: kv("a", "1", 3)}, {Kv: kv("c", "1", 3), Sub: 1, Last: true}}
	got := before(col.start)
	for i := range want {
		if len(got) != len(want) || !proto.Equal(got[i], want[i]) {
			t.Fatalf("the store as events: %v", got)
		}
	}
}

// A partition cuts what it should, in the direction it should, until it is
// healed. It runs once more in namespaces of its own.
func TestNetwork(t *testing.T) {
	if os.Getenv(isolated) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNetwork$", "-test.v")
		cmd.Env = append(os.Environ(), isolated+"="+ownMounts+" "+ownNetwork)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
		_, err := exec.LookPath("iptables")
		if os.Geteuid() != 0 || err != nil {
			t.Skip("NOT TESTED: networks need root, ip and iptables")
		}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, syscall.EPERM) {
			t.Skipf("NOT TESTED: no namespaces: %v", err)
		}
		if err != nil || !strings.Contains(string(out), "PASS") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if err := settleIn(); err != nil {
		t.Fatal(err)
	}
	n, err := newNetwork()
	if err != nil {
		t.Fatal(err)
	}
	a, errA := n.add("host-a")
	b, errB := n.add("host-b")
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	var l net.Listener
	listen := func() (err error) { l, err = net.Listen("tcp", a.address+":7000"); return err }
	if err := n.inside(a, listen); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	reach := func() error {
		return n.inside(b, func() error {
			c, err := net.DialTimeout("tcp", a.address+":7000", 300*time.Millisecond)
			if err == nil {
				c.Close()
			}
			return err
		})
	}
	for _, cut := range []struct {
		what, from, port string
		at               *host
		blocks           bool
	}{
		{"nothing", "10.99.0.77", "", a, false},
		{"what comes from b", b.address, "", a, true},
		{"the answers", a.address, "", b, true},
		{"the port", b.address, "7000", a, true},
		{"another port", b.address, "6222", a, false},
	} {
		if err := n.drop(cut.at, cut.from, cut.port); err != nil {
			t.Fatal(err)
		}
		if err := reach(); (err != nil) != cut.blocks {
			t.Errorf("without %s: %v", cut.what, err)
		}
		if err := n.heal(); err != nil {
			t.Fatal(err)
		}
		if err := reach(); err != nil {
			t.Errorf("healed: %v", err)
		}
	}
}
