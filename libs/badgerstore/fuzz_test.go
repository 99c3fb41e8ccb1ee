package badgerstore

import (
	"bytes"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/storetest"
)

// FuzzDecodeMeta: what is accepted encodes to the bytes it was read from.
func FuzzDecodeMeta(f *testing.F) {
	raw, err := (&meta{seq: 3, synced: 2, last: 9, snapshot: storetest.Bootstrap()}).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:len(raw)-1])
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := decodeMeta(raw)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeMeta(again); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzChunk: no record crashes the reader, and a changed one is refused.
func FuzzChunk(f *testing.F) {
	records, err := encodeEntry(entry(7, 2, []byte("data")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(records[0].Key, records[0].Value)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		var c chunks
		e, err := c.add(key, value)
		if err == nil && e != nil && !bytes.Equal(key, entryKey(e.GetIndex(), 0)) {
			t.Fatal("an entry at another's place was accepted")
		}
	})
}

// BenchmarkAppend is the cost of one durable entry of 300 bytes.
func BenchmarkAppend(b *testing.B) {
	s, err := Open(config(b.TempDir(), nil))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	data := make([]byte, 300)
	i := uint64(2)
	for b.Loop() {
		if err := s.Log().Append(store.Batch{Entries: []*raftpb.Entry{entry(i, 1, data)}}); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
