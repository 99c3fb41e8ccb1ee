package cli_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/tools/kvorum/cli"
)

// locked is a cluster in which lease 1 gets every lock, unless it is another's.
// over ends the lease; freed counts who gave a name back.
type locked struct {
	url           string
	over, another atomic.Bool
	freed, ended  atomic.Int64
	campaigns     chan string
}

func newLocked(t *testing.T) *locked {
	l := &locked{campaigns: make(chan string, 99)}
	key := []byte("/l/0000000000000001")
	l.url = cluster(t, map[string]func(*nats.Msg) *nats.Msg{
		"kv.lease.grant": func(m *nats.Msg) *nats.Msg {
			return answer(&kvpb.LeaseGrantResponse{Id: 1, TtlMillis: request(m, &kvpb.LeaseGrantRequest{}).GetTtlMillis()})
		},
		"kv.lease.keepalive": func(*nats.Msg) *nats.Msg {
			state := &kvpb.LeaseState{Id: 1}
			if l.over.Load() {
				state.Error = "lease_not_found"
			}
			return answer(&kvpb.LeaseKeepAliveResponse{Leases: []*kvpb.LeaseState{state}})
		},
		"kv.lease.revoke": func(*nats.Msg) *nats.Msg { l.ended.Add(1); return answer(&kvpb.LeaseRevokeResponse{}) },
		"kv.elect.campaign": func(m *nats.Msg) *nats.Msg {
			l.campaigns <- string(request(m, &kvpb.LockRequest{}).GetValue())
			if l.another.Load() {
				return refuse(api.Errorf(api.KindUnavailable, "the leader moved"))
			}
			return answer(&kvpb.LockResponse{Held: true, Key: key, Fence: 12, Lease: 1})
		},
		"kv.elect.resign": func(*nats.Msg) *nats.Msg { l.freed.Add(1); return answer(&kvpb.UnlockResponse{}) },
		"kv.elect.leader": func(m *nats.Msg) *nats.Msg {
			if string(request(m, &kvpb.LeaderRequest{}).GetName()) != "/l" {
				return answer(&kvpb.LeaderResponse{})
			}
			return answer(&kvpb.LeaderResponse{Leader: &kvpb.KeyValue{Key: key, Value: []byte("a b"), CreateRevision: 12, ModRevision: 13, Lease: 1}})
		},
		"kv.range": func(*nats.Msg) *nats.Msg {
			return answer(&kvpb.RangeResponse{Revision: 12, Kvs: []*kvpb.KeyValue{{Key: key, CreateRevision: 12}}})
		},
		"kv.history": func(*nats.Msg) *nats.Msg {
			return answer(&kvpb.HistoryResponse{Through: &kvpb.Position{Revision: 12}, Epoch: &kvpb.Epoch{Term: 1, N: 1}})
		},
	})
	return l
}

// run runs a command whose output tells the test what to do.
func (l *locked) run(t *testing.T, on map[string]func(), args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	on["interrupt"] = cancel
	out, errors := &listener{on: on}, &listener{}
	code = cli.Main(ctx, append([]string{"--server", l.url}, args...), cli.Streams{In: strings.NewReader("in"), Out: out, Err: errors})
	return code, string(out.text), string(errors.text)
}

// listener is an output that acts on lines.
type listener struct {
	mu   sync.Mutex
	text []byte
	on   map[string]func()
}

func (l *listener) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if fn := l.on[strings.TrimSpace(string(p))]; fn != nil {
		fn()
	}
	l.text = append(l.text, p...)
	return len(p), nil
}

func TestLock(t *testing.T) {
	const waits = `exec 2>/dev/null; trap 'echo term; exit 7' TERM; echo %; while :; do sleep 0.01; done`
	for name, c := range map[string]struct {
		command        []string
		ready          string // what the command says when the test is to act
		lose           bool
		code           int
		stdout, stderr string
	}{
		"success":         {command: []string{"sh", "-c", "cat; echo $KVORUM_FENCE $KVORUM_LOCK $KVORUM_LEASE"}, stdout: "in12 /l 0000000000000001\n"},
		"failure":         {command: []string{"sh", "-c", "exit 5"}, code: 5},
		"killed":          {command: []string{"sh", "-c", "kill -9 $$"}, code: 137},
		"no command":      {command: []string{"/nowhere/command"}, code: 1, stderr: "cannot be started"},
		"interrupted":     {command: []string{"sh", "-c", strings.ReplaceAll(waits, "%", "interrupt")}, code: 7, stdout: "interrupt\nterm\n"},
		"lost":            {command: []string{"sh", "-c", strings.ReplaceAll(waits, "%", "lose")}, lose: true, code: 7, stdout: "lose\nterm\n", stderr: "the lock is lost"},
		"lost, and ended": {command: []string{"sh", "-c", strings.ReplaceAll(strings.ReplaceAll(waits, "%", "lose"), "7", "0")}, lose: true, code: 1, stdout: "lose\nterm\n", stderr: "the lock is lost"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLocked(t)
			on := map[string]func(){"lose": func() { l.over.Store(true) }}
			code, stdout, stderr := l.run(t, on, append([]string{"lock", "--ttl", "500ms", "/l", "--"}, c.command...)...)
			if code != c.code || stdout != c.stdout || !contains(stderr, c.stderr) {
				t.Errorf("exit code %d\nstdout %q\nstderr %q", code, stdout, stderr)
			}
			if l.ended.Load() != 1 || !c.lose && l.freed.Load() != 1 {
				t.Errorf("given back %d times, lease ended %d times", l.freed.Load(), l.ended.Load())
			}
		})
	}
}

func TestLockOfAnother(t *testing.T) {
	l := newLocked(t)
	l.another.Store(true)
	code, stdout, stderr := l.run(t, map[string]func(){}, "lock", "--wait", "50ms", "/l", "--", "echo", "it ran")
	if code != cli.ExitNo || stdout != "" {
		t.Errorf("exit code %d\nstdout %q\nstderr %q", code, stdout, stderr)
	}
}

func TestElect(t *testing.T) {
	l := newLocked(t)
	for _, c := range []struct {
		line   string
		code   int
		stdout string
	}{
		{"elect /l", 0, "12 a b\n"},
		{"elect /l -o json", 0, `{"key":"/l/0000000000000001","value":"a b","create_revision":"12","mod_revision":"13","lease":"0000000000000001"}` + "\n"},
		{"elect /none", 3, "0\n"},
	} {
		code, stdout, stderr := run(t, "", append([]string{"--server", l.url}, strings.Fields(c.line)...)...)
		if code != c.code || stdout != c.stdout || stderr != "" {
			t.Errorf("kvorum %s: exit code %d\nstdout %q\nstderr %q", c.line, code, stdout, stderr)
		}
	}
	on := map[string]func(){}
	on["12"] = func() { on["interrupt"]() }
	if code, stdout, stderr := l.run(t, on, "elect", "/l", "server 1"); code != 0 || stdout != "12\n" || stderr != "" || l.freed.Load() != 1 {
		t.Errorf("exit code %d, stdout %q, stderr %q, given back %d times", code, stdout, stderr, l.freed.Load())
	}
	if value := <-l.campaigns; value != "server 1" {
		t.Errorf("campaigned with %q", value)
	}
	on["12"] = func() { l.over.Store(true) }
	if code, _, stderr := l.run(t, on, "elect", "--ttl", "500ms", "/l", "server 1"); code != 1 || !strings.Contains(stderr, "the leadership is lost") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
}
