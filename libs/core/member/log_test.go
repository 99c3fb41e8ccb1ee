package member

import (
	"errors"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/replica"
	"github.com/kvorum/kvorum/libs/core/store"
)

func entries(first, last uint64) (es []*raftpb.Entry) {
	for i := first; i <= last; i++ {
		es = append(es, &raftpb.Entry{Index: &i, Data: []byte("data")})
	}
	return es
}

func appendOf(first, last uint64) LogItem {
	return LogItem{sync: true, task: &replica.AppendTask{Sync: true}, batch: store.Batch{Entries: entries(first, last)}}
}

// What waits for the log is joined to one write, except where that would change
// its meaning.
func TestJoin(t *testing.T) {
	install := LogItem{sync: true, task: &replica.AppendTask{Snapshot: &raftpb.SnapshotMetadata{}}}
	nothing := LogItem{task: &replica.AppendTask{}}
	commit := func(c uint64) LogItem {
		return LogItem{sync: true, task: &replica.AppendTask{}, batch: store.Batch{Hard: &raftpb.HardState{Commit: &c}}}
	}
	for name, c := range map[string]struct {
		items              []LogItem
		n                  int
		first, last, until uint64
	}{
		"consecutive":        {[]LogItem{appendOf(5, 6), nothing, appendOf(7, 9)}, 3, 5, 9, 0},
		"a replacement":      {[]LogItem{appendOf(5, 6), appendOf(6, 7)}, 1, 5, 6, 0},
		"before an install":  {[]LogItem{appendOf(5, 6), install, appendOf(90, 91)}, 1, 5, 6, 0},
		"an install":         {[]LogItem{install, appendOf(90, 91)}, 1, 0, 0, 0},
		"a truncation":       {[]LogItem{{truncate: 3}, appendOf(5, 6)}, 1, 0, 0, 0},
		"the last hard wins": {[]LogItem{commit(4), appendOf(5, 5), commit(5)}, 3, 5, 5, 5},
	} {
		w := Join(c.items, LogBytesMax)
		var first, last uint64
		if es := w.Batch.Entries; len(es) > 0 {
			first, last = es[0].GetIndex(), es[len(es)-1].GetIndex()
		}
		if w.Len() != c.n || first != c.first || last != c.last || w.Batch.Hard.GetCommit() != c.until {
			t.Errorf("%s: joined %d items to %d..%d with commit %d", name, w.Len(), first, last, w.Batch.Hard.GetCommit())
		}
	}
	if w := Join([]LogItem{appendOf(5, 6), appendOf(7, 8), appendOf(9, 9)}, 10); w.Len() != 2 {
		t.Errorf("a write of %d bytes or little more took %d items", 10, w.Len())
	}
}

// disk notes in which order things happen to a log.
type disk struct {
	store.Log
	happened []string
	err      error
}

func (d *disk) note(what string) { d.happened = append(d.happened, what) }

func (d *disk) Append(store.Batch) error             { d.note("append"); return d.err }
func (d *disk) Truncate(uint64) error                { d.note("truncate"); return d.err }
func (d *disk) Install(b store.Batch) error          { d.note("install"); return d.err }
func (d *disk) Send(msgs []*raftpb.Message)          { d.note("send") }
func (d *disk) Appended(tasks []*replica.AppendTask) { d.note("appended") }

// Nothing that depends on a write happens before it, nor after one that failed.
func TestWriteComesFirst(t *testing.T) {
	one := uint64(1)
	install := LogItem{sync: true, task: &replica.AppendTask{Snapshot: &raftpb.SnapshotMetadata{}}, batch: store.Batch{Install: &store.Install{}}}
	for name, c := range map[string]struct {
		items []LogItem
		want  []string
	}{
		"entries":      {[]LogItem{appendOf(5, 6), appendOf(7, 7)}, []string{"append", "send", "send", "appended"}},
		"hard state":   {[]LogItem{{sync: true, batch: store.Batch{Hard: &raftpb.HardState{Commit: &one}}}}, []string{"append"}},
		"checkpoint":   {[]LogItem{{sync: true, batch: store.Batch{Checkpoint: 4}}}, []string{"append", "done"}},
		"truncation":   {[]LogItem{{truncate: 3}}, []string{"truncate"}},
		"install":      {[]LogItem{install}, []string{"install", "send", "appended"}},
		"not received": {[]LogItem{{sync: true, task: install.task}}, nil},
		"nothing":      {[]LogItem{{task: &replica.AppendTask{}}}, []string{"send", "appended"}},
	} {
		for _, failing := range []error{nil, errors.New("disk")} {
			d := &disk{err: failing}
			if c.items[0].batch.Checkpoint > 0 {
				c.items[0].done = func() { d.note("done") }
			}
			want := c.want
			if failing != nil && name != "nothing" {
				want = want[:min(1, len(want))]
			}
			w := Join(c.items, LogBytesMax)
			err := w.Do(d, d)
			if broken := failing != nil && name != "nothing" || want == nil; (err != nil) != broken || !slices.Equal(d.happened, want) {
				t.Errorf("%s, disk error %v: %v, %v", name, failing, d.happened, err)
			}
		}
	}
}
