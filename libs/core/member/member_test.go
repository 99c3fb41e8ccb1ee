package member

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"slices"
	"testing"
	"testing/cryptotest"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

// solo is one member of a cluster, turned by hand: nothing is written or applied
// before the test says so.
type solo struct {
	t       *testing.T
	store   *memstore.Store
	member  *Member
	machine *mvcc.Machine
	now     int64
	in      Inputs
	log     []LogItem
	todo    []ApplyItem
	sent    []*raftpb.Message
	unused  []store.Incoming
	role    replica.Role
	told    []string // what Apply told
}

func newSolo(t *testing.T, voters ...uint64) *solo {
	cryptotest.SetGlobalRandom(t, 1)
	one := uint64(1)
	s := &solo{t: t, now: millisecond}
	s.store = memstore.New(&raftpb.SnapshotMetadata{ConfState: &raftpb.ConfState{Voters: voters}, Index: &one, Term: &one})
	s.start()
	return s
}

// start begins where the store's checkpoint is.
func (s *solo) start() {
	at := s.store.Log().Checkpoint()
	machine, opened, err := Open(s.store, at)
	s.must(err)
	s.machine, s.in, s.log, s.todo, s.role = machine, Inputs{}, nil, nil, replica.Role{}
	s.member, err = New(replica.Config{
		ID: 1, Nonce: uint64(s.now), Log: s.store.Log(), Applied: at, Rand: func() uint64 { return 0 },
		WallClock: func() int64 { return 0 }, Logger: &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)},
	}, opened.Clock, s.now)
	s.must(err)
}

func (s *solo) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// step takes what has come in after a while, and collects the effects.
func (s *solo) step(millis int64) {
	s.now += millis * millisecond
	in := s.in
	s.in = Inputs{}
	s.member.Step(s.now, in)
	for {
		e := s.member.Effects()
		if e.Role != nil {
			s.role = *e.Role
		}
		s.sent = append(s.sent, e.Send...)
		if e.Log != nil {
			s.log = append(s.log, *e.Log)
		}
		if e.Apply != nil {
			s.todo = append(s.todo, ApplyItem{Task: e.Apply})
		}
		if e.Unused != nil {
			s.unused = append(s.unused, e.Unused)
		}
		for _, rel := range e.Reads {
			for _, rd := range rel.Reads {
				s.told = append(s.told, fmt.Sprintf("read %v of term %d", rd.Tag, rd.Term))
			}
		}
		if !s.member.Pending() {
			return
		}
	}
}

// write does all that waits for the log.
func (s *solo) write() {
	for len(s.log) > 0 {
		w := Join(s.log, LogBytesMax)
		s.must(w.Do(s.store.Log(), s))
		s.log = s.log[w.Len():]
	}
}

// apply does all that waits for the state machine.
func (s *solo) apply() {
	for len(s.todo) > 0 {
		tasks := Run(s.todo, ApplyEntriesMax)
		s.todo = s.todo[len(tasks):]
		_, err := Apply(s.machine, tasks, s)
		s.must(err)
	}
}

// settle lets everything happen that is under way.
func (s *solo) settle() {
	for range 10 {
		s.write()
		s.apply()
		s.step(1)
	}
}

// lead makes a member that is alone the leader.
func (s *solo) lead() {
	for i := 0; !s.role.Serving; i++ {
		if i > 1000 {
			s.t.Fatal("it does not lead")
		}
		s.step(50)
		s.write()
		s.apply()
	}
}

// Send, Appended, Install, Applied, Answer and Published make it the owner of its
// log and the audience of its state machine.
func (s *solo) Send(msgs []*raftpb.Message) { s.sent = append(s.sent, msgs...) }

func (s *solo) Appended(tasks []*replica.AppendTask) { s.in.Appended = append(s.in.Appended, tasks...) }

func (s *solo) Install(b store.Batch) (err error) {
	var opened Applied
	s.machine, opened, err = Install(s.store, b)
	s.in.Applied = append(s.in.Applied, opened)
	return err
}

func (s *solo) Applied(a Applied) {
	s.told = append(s.told, fmt.Sprintf("applied with %d timers", len(a.Timers)))
	s.in.Applied = append(s.in.Applied, a)
}

func (s *solo) Answer(tag any, res mvcc.Result) {
	s.told = append(s.told, fmt.Sprintf("answer %v at revision %d", tag, res.Revision))
}

func (s *solo) Published(p *mvcc.Published, events []*kvpb.Event) {
	s.told = append(s.told, fmt.Sprintf("revision %d with %d events", p.Revision, len(events)))
}

func (s *solo) propose(tag string, c *command.Command) {
	data, err := proto.Marshal(c)
	s.must(err)
	s.in.Proposals = append(s.in.Proposals, replica.Proposal{Command: data, Deadline: s.now + 1e12, Tag: tag})
}

func put(key string) *command.Command {
	return &command.Command{Op: &command.Command_Put{Put: &kvpb.PutRequest{Key: []byte(key), Value: []byte("v")}}}
}

func grant(id, millis int64) *command.Command {
	return &command.Command{Op: &command.Command_LeaseGrant{LeaseGrant: &kvpb.LeaseGrantRequest{Id: id, TtlMillis: millis}}}
}

// A proposal is answered after its entry is written and applied, the timers
// first and the new state last.
func TestOrderOfAnswers(t *testing.T) {
	s := newSolo(t, 1)
	s.lead()
	s.told = nil
	s.propose("a", put("a"))
	s.propose("b", grant(7, 5000))
	s.step(1)
	if s.apply(); len(s.told) > 0 {
		t.Errorf("%q before the write", s.told)
	}
	s.settle()
	want := []string{"applied with 1 timers", "answer a at revision 2", "answer b at revision 2", "revision 2 with 1 events"}
	if !slices.Equal(s.told, want) {
		t.Errorf("told %q, want %q", s.told, want)
	}
}

// A leader that serves knows the timers of all that was committed before it, with
// their full time to live; what ends is proposed once and then gone.
func TestLeaderKnowsAllTimers(t *testing.T) {
	s := newSolo(t, 1)
	s.lead()
	s.propose("a", grant(7, 5000))
	s.step(1)
	s.settle()
	s.store = s.store.Restart() // its state is that of the beginning again
	s.start()
	if n := s.member.Leases.Len(); n != 0 {
		t.Fatalf("%d timers at the start", n)
	}
	s.lead()
	if _, left, ok := s.member.Leases.Left(7); !ok || left != 5000 {
		t.Errorf("%d ms are left, %t", left, ok)
	}
	s.told = nil
	for range 60 {
		s.step(100)
		s.settle()
	}
	want := []string{"applied with 1 timers", "revision 2 with 0 events"} // revoking a lease without keys is no new revision
	if s.told[0] != want[0] || s.member.Leases.Len() != 0 || s.member.Leases.outstanding != 0 {
		t.Errorf("told %q, %d timers and %d outstanding at the end", s.told, s.member.Leases.Len(), s.member.Leases.outstanding)
	}
	for _, line := range s.told {
		if bytes.HasPrefix([]byte(line), []byte("answer")) {
			t.Errorf("an expiry of the member's own is told to others: %q", line)
		}
	}
}

// A renewal that comes in when its lease has run out, but was not found to have,
// is in time; its answer waits for a round of the same leadership.
func TestRenewalBeforeExpiry(t *testing.T) {
	s := newSolo(t, 1)
	s.lead()
	s.propose("a", grant(7, 1000))
	s.step(1)
	s.settle()
	for {
		if _, left, _ := s.member.Leases.Left(7); left <= 150 {
			break
		}
		s.step(100)
		s.settle()
	}
	s.told = nil
	var resp *kvpb.LeaseKeepAliveResponse
	s.in.Leads = append(s.in.Leads, func() {
		resp = s.member.Renew([]int64{7, 8}, s.now, replica.Read{Deadline: s.now + 1e12, Tag: "renewal"})
	})
	s.step(190)
	s.settle()
	s.must(Confirm(resp, s.machine.Published()))
	if a, b := resp.Leases[0], resp.Leases[1]; a.Error != "" || a.LeftMillis != 1000 || b.Error == "" {
		t.Errorf("renewals: %v", resp)
	}
	if !slices.Contains(s.told, fmt.Sprintf("read renewal of term %d", s.role.Term)) {
		t.Errorf("told %q", s.told)
	}
}

// What writes nothing waits for the writes before it, and only for them.
func TestAppendAtOnce(t *testing.T) {
	s := newSolo(t, 1, 2, 3)
	commit := func(c uint64) *raftpb.HardState { return &raftpb.HardState{Commit: &c} }
	to := uint64(2)
	task := func(sync bool, c uint64) *replica.AppendTask {
		return &replica.AppendTask{Sync: sync, Hard: commit(c), Remote: []*raftpb.Message{{To: &to}}}
	}
	var at1 Effects
	s.member.append(&at1, task(false, 1))
	if at1.Log != nil || len(at1.Send) != 1 {
		t.Errorf("with nothing before it: %+v", at1)
	}
	var sync Effects
	s.member.append(&sync, task(true, 2))
	if sync.Log == nil || len(sync.Send) != 0 || sync.Log.batch.Hard.GetCommit() != 2 {
		t.Errorf("a write: %+v", sync)
	}
	var behind Effects
	s.member.append(&behind, task(false, 3))
	if behind.Log == nil || len(behind.Send) != 0 || behind.Log.sync {
		t.Errorf("behind a write: %+v", behind)
	}
	var next Effects // the commit index's last move goes along, though the task has none
	s.member.append(&next, &replica.AppendTask{Sync: true})
	if next.Log == nil || next.Log.batch.Hard.GetCommit() != 3 {
		t.Errorf("the next write: %+v", next)
	}
}

// A received state is installed if raft takes it, behind what is being applied,
// and given back if not.
func TestReceivedState(t *testing.T) {
	from := newSolo(t, 1)
	from.lead()
	from.propose("a", put("a"))
	from.propose("b", grant(7, 5000))
	from.step(1)
	from.settle()
	p := from.machine.Published()
	message := func(index, term uint64) *raftpb.Message {
		kind, sender, to, now := raftpb.MsgSnap, uint64(2), uint64(1), term+1
		_, conf, err := newSolo(t, 1, 2, 3).store.Log().InitialState()
		from.must(err)
		return &raftpb.Message{Type: &kind, From: &sender, To: &to, Term: &now,
			Snapshot: &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{ConfState: conf, Index: &index, Term: &term}}}
	}
	m := message(p.Index, p.Term)
	var b bytes.Buffer
	from.must(Export(&b, from.store, m))

	s := newSolo(t, 1, 2, 3)
	receive := func() *Received {
		r, err := Import(bytes.NewReader(b.Bytes()), s.store, m, 2, 1)
		s.must(err)
		return r
	}
	r := receive()
	s.in.Calls = append(s.in.Calls, func() { s.member.SnapshotReceived(r) })
	s.step(1)
	if len(s.log) != 1 || s.log[0].batch.Install == nil || len(s.unused) != 0 {
		t.Fatalf("the log's queue: %+v, %d states are given back", s.log, len(s.unused))
	}
	s.settle()
	got := s.machine.Published()
	if got.Digest != p.Digest || s.store.Log().Checkpoint() != p.Index || s.member.Leases.Len() != 1 {
		t.Errorf("installed index %d, checkpoint %d, %d timers", got.Index, s.store.Log().Checkpoint(), s.member.Leases.Len())
	}
	// The same again is outdated.
	r = receive()
	s.in.Calls = append(s.in.Calls, func() { s.member.SnapshotReceived(r) })
	s.step(1)
	if len(s.unused) != 1 || s.member.received != nil {
		t.Errorf("%d states are given back", len(s.unused))
	}
	if _, err := Import(bytes.NewReader(b.Bytes()[:b.Len()-1]), s.store, m, 2, 1); err == nil {
		t.Error("a state that was cut off is received")
	}
	if _, err := Import(bytes.NewReader(b.Bytes()), s.store, message(p.Index+1, p.Term), 2, 1); err == nil {
		t.Error("a state of another index is received")
	}
	if _, err := Import(bytes.NewReader(b.Bytes()), s.store, m, 3, 1); err == nil {
		t.Error("a state from another node is received")
	}
}
