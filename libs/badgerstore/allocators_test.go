package badgerstore

import (
	"reflect"
	"testing"

	"github.com/kvorum/kvorum/libs/core/store"
)

// TestBuffersAreReleased: every write lets go of the buffers that Badger keeps
// for tables. It fails where Badger has no such pool any more: allocators.go may
// go then.
func TestBuffersAreReleased(t *testing.T) {
	s := open(t, config(t.TempDir(), nil))
	for name, c := range map[string]struct {
		db    any
		write func() error
	}{
		"log":   {s.log.db, func() error { return s.Log().Append(store.Batch{Checkpoint: 1}) }},
		"state": {s.state.db, func() error { return s.State().Write([]store.Mutation{{Key: []byte("k"), TS: 2048}}) }},
	} {
		spare := field(field(reflect.ValueOf(c.db), "allocPool"), "allocCh")
		if spare.Kind() != reflect.Chan || !spare.TrySend(reflect.New(spare.Type().Elem().Elem())) {
			t.Fatalf("%s: Badger keeps its buffers elsewhere", name)
		}
		ok(t, c.write())
		if spare.Len() != 0 {
			t.Errorf("%s: a buffer is kept", name)
		}
	}
}
