package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
)

// recorder is an Incoming that keeps what it gets.
type recorder struct {
	muts   []store.Mutation
	refuse error
}

func (r *recorder) Write(muts []store.Mutation) error {
	for _, m := range muts {
		m.Key, m.Value = bytes.Clone(m.Key), bytes.Clone(m.Value)
		r.muts = append(r.muts, m)
	}
	return r.refuse
}

func (r *recorder) Finish() error { return nil }
func (r *recorder) Abort() error  { return nil }

var testMeta = &raftpb.SnapshotMetadata{
	Index:     new(uint64(77)),
	Term:      new(uint64(5)),
	ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}, AutoLeave: new(false)},
}

// encoded is a stream of these mutations and what it should decode to.
func encoded(t testing.TB, muts ...store.Mutation) (stream []byte, want []store.Mutation) {
	t.Helper()
	s := memstore.New(nil)
	if err := s.State().Write(muts); err != nil {
		t.Fatal(err)
	}
	view, err := s.State().Read(1 << 40)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	var rec recorder
	if err := view.Versions(func(m store.Mutation) error { return rec.Write([]store.Mutation{m}) }); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Write(&out, view, testMeta); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), rec.muts
}

func samples() map[string][]store.Mutation {
	large := bytes.Repeat([]byte("v"), store.MaxStateValueBytes)
	key := bytes.Repeat([]byte("k"), store.MaxStateKeyBytes)
	var many []store.Mutation
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 5000 {
		value := make([]byte, rng.IntN(300))
		many = append(many, store.Mutation{Key: fmt.Appendf(nil, "k%d", rng.IntN(900)), Value: value, TS: store.TS(i + 1), Delete: i%7 == 0})
	}
	return map[string][]store.Mutation{
		"empty":     nil,
		"one":       {{Key: []byte("k"), Value: []byte("v"), TS: 9}},
		"deletion":  {{Key: []byte("k"), TS: 9, Delete: true}},
		"no value":  {{Key: []byte("k"), TS: 9}},
		"at bounds": {{Key: key, Value: large, TS: 9}, {Key: key, Value: large, TS: 10}, {Key: key[1:], Value: large, TS: 11}},
		"many":      many,
	}
}

func TestRoundTrip(t *testing.T) {
	for name, muts := range samples() {
		t.Run(name, func(t *testing.T) {
			stream, want := encoded(t, muts...)
			again, _ := encoded(t, muts...)
			if !bytes.Equal(stream, again) {
				t.Fatal("the same state gave other bytes")
			}
			var got recorder
			r := bytes.NewReader(append(bytes.Clone(stream), "more"...))
			meta, err := Read(r, &got)
			if err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(meta, testMeta) {
				t.Fatalf("metadata %v", meta)
			}
			if len(got.muts) != len(want) {
				t.Fatalf("%d mutations, want %d", len(got.muts), len(want))
			}
			for i := range want {
				if g, w := normal(got.muts[i]), normal(want[i]); !reflect.DeepEqual(g, w) {
					t.Fatalf("mutation %d of key %.20q at %d is not the one written", i, w.Key, w.TS)
				}
			}
			if r.Len() != len("more") {
				t.Fatalf("%d bytes left after the trailer", r.Len())
			}
		})
	}
}

func normal(m store.Mutation) store.Mutation {
	if len(m.Value) == 0 {
		m.Value = nil
	}
	return m
}

// TestEveryDamageIsRefused flips each bit and cuts at each length.
func TestEveryDamageIsRefused(t *testing.T) {
	stream, _ := encoded(t,
		store.Mutation{Key: []byte("a"), Value: []byte("1"), TS: 1},
		store.Mutation{Key: []byte("b"), TS: 2, Delete: true})
	refused := func(damaged []byte, what string) {
		t.Helper()
		_, err := Read(bytes.NewReader(damaged), &recorder{})
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewerVersion) {
			t.Fatalf("%s: error %v", what, err)
		}
	}
	for bit := range len(stream) * 8 {
		damaged := bytes.Clone(stream)
		damaged[bit/8] ^= 1 << (bit % 8)
		refused(damaged, fmt.Sprintf("bit %d flipped", bit))
	}
	for n := range stream {
		refused(stream[:n], fmt.Sprintf("cut to %d bytes", n))
		refused(append(bytes.Clone(stream[:n]), stream[n+1:]...), fmt.Sprintf("byte %d left out", n))
	}
}

// TestFramesExchanged: frames that are right by themselves but not this stream.
func TestFramesExchanged(t *testing.T) {
	value := bytes.Repeat([]byte("v"), MaxFrameBytes)
	stream, _ := encoded(t,
		store.Mutation{Key: []byte("a"), Value: value, TS: 1},
		store.Mutation{Key: []byte("b"), Value: value, TS: 2})
	const frame = 8 + MaxFrameBytes
	start := bytes.Index(stream, []byte{0, 4, 0, 0}) // the first frame's length
	if start < 0 || len(stream) < start+2*frame {
		t.Fatal("the stream has not two full frames")
	}
	exchanged := bytes.Clone(stream)
	copy(exchanged[start:], stream[start+frame:start+2*frame])
	copy(exchanged[start+frame:], stream[start:start+frame])
	for name, damaged := range map[string][]byte{
		"exchanged": exchanged,
		"left out":  append(bytes.Clone(stream[:start+frame]), stream[start+2*frame:]...),
	} {
		if _, err := Read(bytes.NewReader(damaged), &recorder{}); !errors.Is(err, ErrDamaged) {
			t.Errorf("frames %s: error %v", name, err)
		}
	}
}

func TestErrorsOfTheReceiver(t *testing.T) {
	stream, _ := encoded(t, store.Mutation{Key: []byte("a"), TS: 1})
	want := errors.New("full")
	if _, err := Read(bytes.NewReader(stream), &recorder{refuse: want}); !errors.Is(err, want) {
		t.Fatalf("error %v", err)
	}
}

// FuzzRead: no input crashes the reader, and what it accepts is what Write
// makes of the mutations that it gave.
func FuzzRead(f *testing.F) {
	for name, muts := range samples() {
		if name == "at bounds" || name == "many" {
			continue // too large to mutate quickly
		}
		stream, _ := encoded(f, muts...)
		f.Add(stream)
		f.Add(stream[:len(stream)/2])
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		var got recorder
		meta, err := Read(bytes.NewReader(stream), &got)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := Write(&out, &fixedView{muts: got.muts}, meta); err != nil {
			t.Fatal(err)
		}
		var again recorder
		if _, err := Read(bytes.NewReader(out.Bytes()), &again); err != nil || !reflect.DeepEqual(got.muts, again.muts) {
			t.Fatalf("accepted, but not what Write makes: %v", err)
		}
	})
}

// fixedView is a View of which only Versions is there.
type fixedView struct {
	store.View
	muts []store.Mutation
}

func (v *fixedView) Versions(fn func(store.Mutation) error) error {
	for _, m := range v.muts {
		if err := fn(m); err != nil {
			return err
		}
	}
	return nil
}
