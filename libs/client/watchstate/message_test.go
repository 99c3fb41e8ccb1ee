package watchstate_test

import (
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client/watchstate"
)

func header(fields ...string) map[string][]string {
	h := map[string][]string{}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		h[name] = []string{value}
	}
	return h
}

var putFields = []string{
	"Kv-Event=put", "Kv-Revision=12", "Kv-Sub=1", "Kv-Create-Revision=4", "Kv-Version=3",
	"Kv-Lease=00000000000f7f3a", "Kv-Epoch=7.2", "Kv-Since=12.0+ 11.3+ 4.0",
}

func TestParseLive(t *testing.T) {
	for depth, want := range map[int]struct {
		since api.Position
		more  bool
	}{0: {at(12, 0), true}, 1: {at(11, 3), true}, 2: {at(4, 0), false}, -1: {at(4, 0), false}} {
		l, err := watchstate.ParseLive("kvwatch.db.primary", header(putFields...), []byte("x"), depth)
		kv := l.Event.GetKv()
		if err != nil || string(kv.GetKey()) != "/db/primary" || string(kv.GetValue()) != "x" || kv.GetModRevision() != 12 ||
			kv.GetCreateRevision() != 4 || kv.GetVersion() != 3 || kv.GetLease() != 0xf7f3a || l.Event.GetSub() != 1 {
			t.Errorf("depth %d: %v %v", depth, l.Event, err)
		}
		if l.Since != want.since || l.More != want.more || l.Epoch != (api.Epoch{Term: 7, N: 2}) {
			t.Errorf("depth %d: since %v more %v epoch %v", depth, l.Since, l.More, l.Epoch)
		}
	}
}

func TestParseLiveDelete(t *testing.T) {
	l, err := watchstate.ParseLive("kvwatch.db.%~", header("Kv-Event=delete", "Kv-Revision=5", "Kv-Sub=0", "Kv-Epoch=1.1",
		"Kv-Since=4.0 4.0", "Kv-Key=/db/a%20b"), nil, 1)
	if err != nil || l.Event.GetType() != kvpb.Event_DELETE || string(l.Event.GetKv().GetKey()) != "/db/a b" {
		t.Errorf("%v %v", l.Event, err)
	}
}

func TestParseLiveRefuses(t *testing.T) {
	for _, bad := range []string{
		"Kv-Event=move", "Kv-Event=", "Kv-Revision=-1", "Kv-Revision=x", "Kv-Sub=", "Kv-Lease=zz",
		"Kv-Epoch=7", "Kv-Since=", "Kv-Since=12.0 11.x 4.0", "Kv-Since=12.0", "Kv-Version=", "Kv-Key=%zz",
	} {
		h := header(append(append([]string{}, putFields...), bad)...)
		if l, err := watchstate.ParseLive("kvwatch.db.primary", h, nil, 1); err == nil {
			t.Errorf("%s: accepted as %v", bad, l)
		}
	}
	if _, err := watchstate.ParseLive("kvwatch.db..x", header(putFields...), nil, 1); err == nil {
		t.Error("a subject that is no key is accepted")
	}
}

func TestParseTailAndProgress(t *testing.T) {
	h := header("Kv-Epoch=7.2", "Kv-Through=12.1", "Kv-Sequence=9")
	if got, err := watchstate.ParseTail(h); err != nil || got != (watchstate.Tail{Epoch: api.Epoch{Term: 7, N: 2}, Through: at(12, 1)}) {
		t.Errorf("%v %v", got, err)
	}
	if got, err := watchstate.ParseProgress(h); err != nil || got != (watchstate.Progress{Epoch: api.Epoch{Term: 7, N: 2}, Sequence: 9, Through: at(12, 1)}) {
		t.Errorf("%v %v", got, err)
	}
	if got, err := watchstate.ParseProgress(header("Kv-Epoch=7.2", "Kv-Through=12.1")); err == nil {
		t.Errorf("without a sequence: %v", got)
	}
	if got, err := watchstate.ParseTail(header("Kv-Epoch=7.2")); err == nil {
		t.Errorf("without a position: %v", got)
	}
}

func FuzzParseLive(f *testing.F) {
	f.Add("kvwatch.db.primary", "put", "12", "1", "7.2", "12.0+ 11.3+ 4.0", "", 1)
	f.Add("kvwatch.db.%~", "delete", "12", "1", "7.2", "12.0+", "/db/x%20", -1)
	f.Fuzz(func(t *testing.T, subj, kind, revision, sub, epoch, since, key string, depth int) {
		h := header("Kv-Event="+kind, "Kv-Revision="+revision, "Kv-Sub="+sub, "Kv-Epoch="+epoch, "Kv-Since="+since,
			"Kv-Key="+key, "Kv-Create-Revision=1", "Kv-Version=1")
		l, err := watchstate.ParseLive(subj, h, nil, depth)
		if err == nil && (len(l.Event.GetKv().GetKey()) == 0 || l.Event.GetKv().GetModRevision() < 0 || l.Event.GetSub() < 0) {
			t.Errorf("accepted %v", l)
		}
	})
}
