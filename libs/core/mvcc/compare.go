package mvcc

import (
	"bytes"
	"cmp"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/mutant"
)

// branches evaluates the compares of a transaction and of those nested in the
// branches that will run, before any of its writes. The outcomes are appended
// to path in the order in which the transactions will run.
func branches(src *source, r *kvpb.TxnRequest, path []bool) ([]bool, error) {
	holds := true
	for _, c := range r.GetCompare() {
		var err error
		if holds, err = compareHolds(src, c); err != nil {
			return nil, err
		}
		if !holds {
			break
		}
	}
	path = append(path, holds)
	for _, op := range branch(r, holds) {
		if t := op.GetTxn(); t != nil {
			var err error
			if path, err = branches(src, t, path); err != nil {
				return nil, err
			}
		}
	}
	return path, nil
}

func branch(r *kvpb.TxnRequest, holds bool) []*kvpb.RequestOp {
	if holds {
		return r.GetSuccess()
	}
	return r.GetFailure()
}

// compareHolds evaluates one compare. With a range every key must hold. No key
// at all compares as one with zero revisions and version, and never holds where
// the value is compared.
func compareHolds(src *source, c *kvpb.Compare) (bool, error) {
	if c.Target == kvpb.Compare_LOCK {
		number, err := fence(src, c.Key)
		if mutant.Is(mutant.FenceIgnored) {
			number = c.Number
		}
		return err == nil && ordered(c.Result, cmp.Compare(number, c.Number)), err
	}
	if len(c.RangeEnd) == 0 {
		rec, found, err := src.headOr(c.Key, c.Target == kvpb.Compare_VALUE)
		if err != nil || !found {
			return holdsForNone(c), err
		}
		return recordHolds(src, c, c.Key, &rec)
	}
	holds, any := true, false
	err := src.scan(c.Key, c.RangeEnd, false, func(i *item) (bool, error) {
		any = true
		rec, err := i.record()
		if err != nil {
			return false, err
		}
		holds, err = recordHolds(src, c, i.key, rec)
		return holds, err
	})
	if !any {
		holds = holdsForNone(c)
	}
	return holds, err
}

func holdsForNone(c *kvpb.Compare) bool {
	return c.Target != kvpb.Compare_VALUE && ordered(c.Result, cmp.Compare(0, c.Number))
}

func recordHolds(src *source, c *kvpb.Compare, key []byte, rec *record) (bool, error) {
	var number int64
	switch c.Target {
	case kvpb.Compare_VERSION:
		number = rec.version
	case kvpb.Compare_CREATE:
		number = rec.create
	case kvpb.Compare_MOD:
		number = rec.mod
	case kvpb.Compare_LEASE:
		number = rec.lease
	case kvpb.Compare_VALUE:
		value, err := src.value(key, rec)
		return err == nil && ordered(c.Result, bytes.Compare(value, c.Value)), err
	}
	return ordered(c.Result, cmp.Compare(number, c.Number)), nil
}

func ordered(want kvpb.Compare_Result, order int) bool {
	switch want {
	case kvpb.Compare_EQUAL:
		return order == 0
	case kvpb.Compare_GREATER:
		return order > 0
	case kvpb.Compare_LESS:
		return order < 0
	default:
		return order != 0
	}
}
