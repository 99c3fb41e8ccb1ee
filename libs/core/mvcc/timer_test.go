package mvcc

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
)

// timers are those that live, as whoever follows Applied.Timers knows them.
type timers map[string]Timer

func leaseTimer(id int64) string    { return fmt.Sprintf("lease %016x", uint64(id)) }
func keyTimer(key []byte) string    { return "key " + string(key) }
func (s timers) same(o timers) bool { return reflect.DeepEqual(s, o) }

func (s timers) add(told []Timer) {
	for _, t := range told {
		id := leaseTimer(t.Lease)
		if t.Lease == 0 {
			id = keyTimer(t.Key)
		}
		if t.Gone {
			delete(s, id)
		} else {
			s[id] = t
		}
	}
}

func scanTimers(t *testing.T, p *Published) timers {
	t.Helper()
	found := timers{}
	err := p.Timers(func(one Timer) error {
		one.Key = bytes.Clone(one.Key)
		found.add([]Timer{one})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
