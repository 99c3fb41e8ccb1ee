package mvcc

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/store"
)

// dedup is the window of remembered message ids. Ids are numbered as they come.
// Those that one entry remembers share records, in the order of their numbers; a
// record is deleted with the last id in it.
//
// In memory are 16 bytes of a hash and a number for each; the ids themselves
// are compared with the slot.
type dedup struct {
	limits limits
	index  map[dedupKey]uint64
	ring   []dedupEntry // of number n at n mod its length
	tail   uint64       // number of the oldest id
	head   uint64       // number of the next one
	bytes  int          // counted of all
	open   openSlots    // of the entry being applied
	// fresh has the slots of the records that the store does not have yet, by
	// the number of the first one.
	fresh   map[uint64][]byte
	keyBuf  []byte
	bodyBuf []byte
}

type dedupKey [16]byte

type dedupEntry struct {
	key   dedupKey
	size  uint32 // counted
	place uint32 // slots before it in its record
}

// openSlots is the record that the entry being applied fills.
type openSlots struct {
	data  []byte
	first uint64
	count int
	ts    store.TS // of the last slot
}

func (d *dedup) len() int { return int(d.head - d.tail) }

func (d *dedup) at(number uint64) *dedupEntry { return &d.ring[number%uint64(len(d.ring))] }

func (d *dedup) key(principal, msgID string) (k dedupKey) {
	d.keyBuf = binary.BigEndian.AppendUint16(d.keyBuf[:0], uint16(len(principal)))
	d.keyBuf = append(append(d.keyBuf, principal...), msgID...)
	sum := sha256.Sum256(d.keyBuf)
	return dedupKey(sum[:16])
}

// openDedup reads the window from a view of the state that m describes.
func openDedup(view store.View, m *meta, l limits) (*dedup, error) {
	d := &dedup{limits: l, index: map[dedupKey]uint64{}, tail: m.dedupTail, head: m.dedupTail, fresh: map[uint64][]byte{}}
	if n := m.dedupHead - m.dedupTail; n > uint64(l.dedupIDs) {
		return nil, fmt.Errorf("%w: meta record with %d remembered ids, more than %d", store.ErrCorrupt, n, l.dedupIDs)
	} else if n == 0 {
		return d, nil
	}
	// The oldest id has at most the others of one entry before it in its record.
	lower := d.tail - min(d.tail, store.MaxCommands-1)
	it := view.Scan(appendSlotKey(nil, lower), appendSlotKey(nil, m.dedupHead), false)
	defer it.Close()
	for it.Next() {
		b := it.Value()
		if err := it.Err(); err != nil {
			return nil, err
		}
		if err := d.load(it.Key(), b); err != nil {
			return nil, err
		}
	}
	if err := it.Err(); err != nil {
		return nil, err
	}
	if d.head != m.dedupHead {
		return nil, fmt.Errorf("%w: dedup slots end at number %d, not %d", store.ErrCorrupt, d.head, m.dedupHead)
	}
	return d, nil
}

// load adds the slots of a record, those evicted left out.
func (d *dedup) load(recordKey, b []byte) error {
	first, err := decodeSlotKey(recordKey)
	if err != nil {
		return err
	}
	slots, err := decodeSlotRecord(recordKey, b)
	for place := uint64(0); err == nil && len(slots) > 0; place++ {
		var s slot
		if s, slots, err = cutSlot(slots); err != nil || first+place < d.tail {
			continue
		}
		if first+place != d.head {
			return fmt.Errorf("%w: dedup slot %d where %d comes next", store.ErrCorrupt, first+place, d.head)
		}
		d.add(d.key(s.principal, s.msgID), &s, place)
	}
	return err
}

func (d *dedup) add(key dedupKey, s *slot, place uint64) {
	if d.len() == len(d.ring) {
		was := *d
		d.ring = make([]dedupEntry, min(max(64, 2*len(d.ring)), d.limits.dedupIDs))
		for n := d.tail; n < d.head; n++ {
			*d.at(n) = *was.at(n)
		}
	}
	d.index[key] = d.head
	*d.at(d.head) = dedupEntry{key, uint32(s.counted()), uint32(place)}
	d.head, d.bytes = d.head+1, d.bytes+s.counted()
}

// evict forgets the oldest id, and its record if no other id is in it.
func (b *batch) evict() {
	d := b.m.dedup
	oldest := d.at(d.tail)
	if d.at(d.tail+1).place == 0 {
		first := d.tail - uint64(oldest.place)
		b.muts = append(b.muts, deletion(appendSlotKey(b.arena.alloc(slotKeyBytes), first), b.src.ts))
	}
	delete(d.index, oldest.key)
	d.bytes, d.tail = d.bytes-int(oldest.size), d.tail+1
}

// recall looks for the result of a command that was applied before.
func (b *batch) recall(key dedupKey, c *command.Command) (res Result, found bool, err error) {
	number, found := b.m.dedup.index[key]
	if !found {
		return Result{}, false, nil
	}
	s, err := b.m.dedup.slot(b.src.view, number)
	if err != nil {
		return Result{}, false, err
	}
	if s.principal != c.Principal || s.msgID != c.MsgId {
		return Result{}, false, fmt.Errorf("%w: dedup slot %d is another id's", store.ErrCorrupt, number)
	}
	if !bytes.Equal(s.hash, c.RequestHash) {
		e := api.Errorf(api.KindBadRequest, "the message id %q was used for another request: use a new one for each request", c.MsgId)
		return Result{Err: e, Revision: b.meta.revision}, true, nil
	}
	res, err = s.result()
	return res, err == nil, err
}

// slot reads the slot of a number in the window.
func (d *dedup) slot(view store.View, number uint64) (s slot, err error) {
	place := uint64(d.at(number).place)
	first := number - place
	slots, fresh := d.fresh[first]
	if d.open.count > 0 && d.open.first == first {
		slots = d.open.data
	} else if !fresh {
		recordKey := appendSlotKey(nil, first)
		b, err := view.Get(recordKey)
		if errors.Is(err, store.ErrNotFound) {
			return slot{}, fmt.Errorf("%w: dedup record %x is missing", store.ErrCorrupt, recordKey)
		} else if err != nil {
			return slot{}, err
		}
		if slots, err = decodeSlotRecord(recordKey, b); err != nil {
			return slot{}, err
		}
	}
	for range place + 1 {
		if s, slots, err = cutSlot(slots); err != nil {
			return slot{}, err
		}
	}
	s.number = number
	return s, nil
}

// remember adds a command's result to the window and evicts what then is too old.
func (b *batch) remember(key dedupKey, c *command.Command, res *Result) error {
	d := b.m.dedup
	s := slot{number: d.head, principal: c.Principal, msgID: c.MsgId, hash: c.RequestHash}
	if err := s.setResult(res, d.limits.dedupResult, d.bodyBuf[:0]); err != nil {
		return err
	}
	d.bodyBuf = s.body
	o := &d.open
	if len(o.data)+s.counted() > recordBytes {
		b.closeSlots()
	}
	if o.count == 0 {
		o.first = s.number
	}
	if d.len() == d.limits.dedupIDs {
		b.evict()
	}
	d.add(key, &s, uint64(o.count))
	o.data, o.count, o.ts = appendSlot(o.data, &s), o.count+1, b.src.ts
	for d.bytes > d.limits.dedupBytes && d.len() > 1 {
		b.evict()
	}
	b.meta.dedupTail, b.meta.dedupHead = d.tail, d.head
	b.m.digest.remembered(&s, d.tail)
	return nil
}

// closeSlots writes the open record, if there is one.
func (b *batch) closeSlots() {
	o := &b.m.dedup.open
	if o.count == 0 {
		return
	}
	key := appendSlotKey(b.arena.alloc(slotKeyBytes), o.first)
	value := appendSlotRecord(b.arena.alloc(slotHeaderBytes+len(o.data)), key, o.data)
	b.muts = append(b.muts, store.Mutation{Key: key, Value: value, TS: o.ts})
	b.m.dedup.fresh[o.first] = value[slotHeaderBytes:]
	o.data, o.count = o.data[:0], 0
}
